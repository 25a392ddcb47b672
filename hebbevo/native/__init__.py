"""The native engine: trains fully connected networks one at a time, in compiled code for CPUs.

`hebbevo.training.native_net` gives it networks, and `hebbevo.training.native_place` their units.
"""

from hebbevo.native.loading import COMMAND, VERSION, Library, is_built, library, usable_widths, why_missing

__all__ = ["COMMAND", "VERSION", "Library", "is_built", "library", "usable_widths", "why_missing"]
