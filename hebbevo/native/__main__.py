"""Compiles the engine: ``python -m hebbevo.native``; arguments are further flags of the compiler."""

import sys

from hebbevo.native.building import FAST, build

built, problem = build(flags=(*FAST, *sys.argv[1:]))
print(f"compiled for vectors of {', '.join(map(str, built))} floats" if built else f"not compiled: {problem}")
sys.exit(not built)
