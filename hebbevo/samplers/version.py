"""The version of the samplers."""

VERSION = 4
"""Version of the samplers. A search keeps the one that it began with, so that its proposals are replayed."""
