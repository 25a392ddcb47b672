"""Running a network once to see what its forward pass does, without leaving a trace in it.

- `following`: intercepts every PyTorch function that is given something computed from the inputs.
- `side_effects`: runs a network on copies of its tensors, and restores everything else afterwards.
- `snapshot`: finds all that a forward pass may change, and restores it.
- `example_inputs`: finds inputs that a network takes, where none are given.
"""
