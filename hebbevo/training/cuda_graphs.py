"""Training steps on a GPU as CUDA graphs: recorded once, then launched as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class CudaGraphs(Generic[Result]):
    """The CUDA graphs of one function, one for each number of rows and for steps with and without events.

    The first call of a kind runs the function as usual, the second records it, and every further call runs
    the recorded operations in the same memory. So the function must work in place and read no value on the
    host. It may depend only on ``rows``, on whether there is an event, and on tensors that are not replaced.
    """

    def __init__(self) -> None:
        self.forget()

    def run(self, function: Callable[[Tensor, bool], Result], rows: Tensor, event: bool) -> Result:
        """Call the function, or launch its recorded operations.

        Args:
            function: the function to run.
            rows: row numbers of a minibatch, (b,) int64.
            event: whether units or connections may be pruned or regrown in this step.

        Returns:
            What the function returned when it was recorded; its tensors hold the values of this call.
        """
        kind = len(rows), event
        if kind not in self._run_once:
            self._run_once.add(kind)
            return _on_side_stream(lambda: function(rows, event))
        if kind not in self._graphs:
            pool = next((graph.pool for graph in self._graphs.values()), None)
            self._graphs[kind] = _CudaGraph(lambda own: function(own, event), rows, pool)
        return self._graphs[kind].launch(rows)

    def forget(self) -> None:
        """Drop all graphs, since the tensors that they work on have been replaced."""
        self._run_once: set[tuple[int, bool]] = set()
        self._graphs: dict[tuple[int, bool], _CudaGraph[Result]] = {}


class _CudaGraph(Generic[Result]):
    """One recorded call; recording does not run it.

    Attributes:
        pool: memory of intermediate results, which graphs that run one after the other can share.
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


def _on_side_stream(function: Callable[[], Result]) -> Result:
    """Call a function on another stream, as PyTorch asks before a recording.

    Libraries such as cuBLAS set up workspaces at their first call, which must not be recorded.
    """
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(current)
    with torch.cuda.stream(side):
        result = function()
    current.wait_stream(side)
    return result
