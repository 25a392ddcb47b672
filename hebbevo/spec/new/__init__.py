"""A new space file that fits some data, and a network of the user's."""

from hebbevo.spec.new.writing import NewSpace, new_space

__all__ = ["NewSpace", "new_space"]
