"""From which unit does each element of a tensor come? A forward pass on values, with labels beside them.

Surgery on a layer must know which weights feed a unit and which weights read it. That depends on everything
that ``forward`` does between two layers: flattening, concatenation, sums, pools.

- A *source* is one call of a layer, a batch norm or plastic units.
- A *label* says of one tensor and one source which unit of the source is behind each element. It has a *code*
  for each element, and the *properties of the path* from the source to the tensor.
- A *read* is a place where the units of a source end: in another layer, in plastic units, or in an output.

For example, ``linear(cat([units(x), x], 1))`` with 2 units and 2 inputs: the label of the concatenation for
the units has the codes (1, 2, other, other) in each row. So the layer has a read with the units (0, 1, -1,
-1) by input column: its first two columns belong to the units and the others do not.

A layer ends all labels at its input and begins its own. Plastic units end those of layers and norms.

- `codes`: arithmetic with codes.
- `labels`: sources, labels and reads.
- `rules`: what each kind of PyTorch function does to labels.
- `run`: the forward pass.
"""
