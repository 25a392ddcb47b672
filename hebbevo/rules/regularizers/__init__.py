"""Regularisers: noise on activations, and penalties on the path that they take; one a file."""
