"""The search space: knobs, genes, and the conditions between them."""
