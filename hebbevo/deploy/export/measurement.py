"""How large and how fast a network is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from hebbevo.exclusive import PROCESS

ROWS = (1, 64)
"""Numbers of rows for which latency is measured."""

_BLOCKS, _SECONDS = 15, 0.004  # of each timing; the least mean over blocks counts


def latencies(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Microseconds of a call, for each of several functions, in turn, so that they are comparable.

    >>> sorted(latencies({"one": lambda: 1, "two": lambda: 2}))
    ['one', 'two']
    """
    best = dict.fromkeys(calls, float("inf"))
    repeats = {}
    for name, call in calls.items():
        call()
        begun = time.perf_counter()
        call()
        repeats[name] = max(1, int(_SECONDS / max(time.perf_counter() - begun, 1e-7)))
    for _ in range(_BLOCKS):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            best[name] = min(best[name], (time.perf_counter() - begun) / repeats[name])
    return {name: seconds * 1e6 for name, seconds in best.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of PyTorch."""
    with PROCESS:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
