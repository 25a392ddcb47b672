"""The program of a worker process: it reads cohorts from its input and writes results to its output.

It ends when its input is closed, and with the search that started it, however that ended.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, Any

from hebbevo import garbage
from hebbevo.errors import WorkerError
from hebbevo.execution import lifetime
from hebbevo.messages import describe


@dataclass(frozen=True)
class _Unreadable:
    """A request that cannot be read here, such as a setup for which a library is missing."""

    problem: str


def main() -> None:
    """Prepare the process with the setup, which comes first, and train cohorts until the input is closed."""
    garbage.collect_rarely()
    lifetime.end_with_parent()
    lifetime.end_with_group()
    # the user's code may print and read: it gets standard error and an empty input instead of the pipes
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    received: SimpleQueue[Any] = SimpleQueue()
    problem = _import_libraries()
    threading.Thread(target=_receive, args=(requests, received), daemon=True).start()

    def send(message: object) -> None:
        pickle.dump(message, results)
        results.flush()

    setup = received.get()
    if isinstance(setup, _Unreadable):
        send(problem or setup.problem)
        return
    try:
        setup.prepare()
    except Exception as error:
        send(str(error) if isinstance(error, WorkerError) else describe(error))
        return
    send("")
    while True:
        try:
            send(setup.train(received.get(), f"process {os.getpid()}"))
        except WorkerError as error:
            send(error)


def _import_libraries() -> str:
    """Import PyTorch while the search prepares. Gives the problem because of which that is not possible."""
    try:
        from hebbevo.execution import worker_setup  # noqa: F401
    except Exception as error:
        return describe(error)
    return ""


def _receive(requests: IO[bytes], received: SimpleQueue[Any]) -> None:
    """Read requests; at the end of the input kill this process and those that it has started."""
    try:
        while True:
            try:
                received.put(pickle.load(requests))
            except (EOFError, pickle.UnpicklingError, OSError):
                break
            except Exception as error:
                received.put(_Unreadable(describe(error)))
    finally:  # without the search, the result of a training in progress is of no use
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


if __name__ == "__main__":
    main()
