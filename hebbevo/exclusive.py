"""One thread at a time computes with what the whole process has once."""

from __future__ import annotations

import threading

PROCESS = threading.RLock()
"""Held while the global generators of Python, NumPy or PyTorch, or PyTorch's number of threads, are not those
of the caller. Searches in several threads of a process would otherwise change each other's results.

Threads that train also hold it while they build networks. They would otherwise pass Python's own lock to and
fro at every operation of PyTorch, which lets go of it, and build hardly faster than one after the other."""
