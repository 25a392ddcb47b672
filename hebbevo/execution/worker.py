"""A worker process: reads cohorts from its input, writes what became of them to its output.

It ends with its input, and so with the process that started it, whatever ended that.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from queue import SimpleQueue
from typing import IO, Any

from hebbevo.errors import WorkerError
from hebbevo.training import told


def main() -> None:
    """Work until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between the answers
    questions = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor must whatever reads take them
    requests: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_read, args=(questions, requests), daemon=True).start()

    def answer(message: object) -> None:
        pickle.dump(message, answers)
        answers.flush()

    job = requests.get()
    try:
        job.begin()
    except Exception as error:
        answer(str(error) if isinstance(error, WorkerError) else told(error))
        return
    answer("")
    while True:
        answer(job.train(requests.get(), f"process {os.getpid()}"))


def _read(questions: IO[bytes], requests: SimpleQueue[Any]) -> None:
    try:
        while True:
            requests.put(pickle.load(questions))
    finally:  # nobody waits for the training under way, nor for what it has started
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


if __name__ == "__main__":
    main()
