"""The outer loop: ask for genomes, train them, record the results."""
