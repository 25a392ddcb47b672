"""Which neurons and connections are alive: those on a path from the inputs to the outputs."""
