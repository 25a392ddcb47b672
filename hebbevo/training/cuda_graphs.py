"""Steps that a GPU takes without the host: recorded once as a CUDA graph, then launched as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def runs_ahead(tensor: Tensor) -> bool:
    """Whether the host runs ahead of a tensor's device, and would have to wait to see a value."""
    return not tensor.is_cpu


class Graphs(Generic[Result]):
    """What has been recorded of one function.

    Its first call of a kind (a number of rows, and whether anything is due) is an ordinary one, at the second
    it is recorded, and from then on the same operations run in the same memory. So all it does must be done
    in place, must depend on ``rows``, on tensors and on the kind alone, and must not look at a value.
    """

    def __init__(self) -> None:
        self.forget()

    def run(self, function: Callable[[Tensor, bool], Result], rows: Tensor, due: bool) -> Result:
        """Call the function with ``rows``, (b,) int64, and ``due``, or do again what it did.

        What it returned at the recording is returned, and holds the new values.
        """
        kind = len(rows), due
        if kind not in self._met:
            self._met.add(kind)
            return _aside(lambda: function(rows, due))
        if kind not in self._graphs:
            pool = next((graph.pool for graph in self._graphs.values()), None)
            self._graphs[kind] = _Graph(lambda own: function(own, due), rows, pool)
        return self._graphs[kind].launch(rows)

    def forget(self) -> None:
        """Record anew: tensors that the function changes are no longer those that they were."""
        self._met: set[tuple[int, bool]] = set()
        self._graphs: dict[tuple[int, bool], _Graph[Result]] = {}


class _Graph(Generic[Result]):
    """A recorded call; recording does not carry it out.

    Attributes:
        pool: the memory of what is there during a call only, which graphs that take turns may share.
    """

    def __init__(self, function: Callable[[Tensor], Result], rows: Tensor, pool: Any) -> None:
        self._rows = rows.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._result = function(self._rows)
        self.pool = self._graph.pool()

    def launch(self, rows: Tensor) -> Result:
        self._rows.copy_(rows)
        self._graph.replay()
        return self._result


def _aside(function: Callable[[], Result]) -> Result:
    """Call on another stream: what PyTorch sets up at a first call must not become part of a recording."""
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        result = function()
    here.wait_stream(aside)
    return result
