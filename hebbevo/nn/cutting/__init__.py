"""Cutting what is dead out of a network, so that its layers become smaller.

A unit can be cut only together with others: channel 3 of a convolution with channel 3 of every other one that
a residual sum adds to it, with their numbers in batch norms, and with the weights that read them. Such a set
is a *bundle*. For example, ``Sequential(Linear(4, 3), BatchNorm1d(3), Linear(3, 2))`` has three bundles of
hidden units, each of a row of the first layer, an entry of the norm and a column of the last layer.

- `plain_modules`: modules of PyTorch alone that take the places of plastic ones.
- `bundles`: which units and columns leave together, found by the labels of `hebbevo.nn.unit_labels`.
- `cut`: which bundles leave a network, given what is alive, and the smaller network without them.
"""
