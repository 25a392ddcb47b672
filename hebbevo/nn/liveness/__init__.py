"""Which neurons and connections are alive: those on a live path from the inputs to the outputs.

A network is run once, on *patterns* in place of values. A pattern has the shape of the tensor that it stands
for, and it is 0 where no live path from the inputs leads.

- An element is *reached* where its pattern is not 0: a live path leads to it.
- An element is *used* where the gradient of its pattern is not 0: a live path leads on to the outputs.
- A neuron, a connection or an input is *alive* where it is both. What is dead may be removed: the outputs
  change by a constant at most, which a bias can carry.

For example, take two inputs a and b, two hidden neurons c and d, and one output. If d has weights of zero
only, it is not reached. If the output has a weight of zero for c, then c is not used. Neither is alive.

- `patterns`: the table of PyTorch functions, and what each kind of function does to patterns.
- `flow`: forward passes that run on patterns by that table.
- `paths`: survivors, counted in one network or in many at once.
- `own_masks`: what counts instead where a network cannot be followed.
- `counting`: the table of `hebbevo.count`.
"""
