"""A worker process: reads cohorts from its input, writes their measurements to its output.

It ends with its input, and so with the process that started it, whatever ended that.
"""

from __future__ import annotations

import os
import pickle
import threading
from queue import SimpleQueue
from typing import IO, Any

import torch

from hebbevo.training import train


def main() -> None:
    """Work until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between the answers
    questions = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor must whatever reads take them
    requests: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_read, args=(questions, requests), daemon=True).start()

    recipe, split, device, threads = requests.get()
    torch.set_num_threads(threads)
    while True:
        measured = train(recipe, requests.get(), split, torch.device(device))
        pickle.dump(measured, answers)
        answers.flush()


def _read(questions: IO[bytes], requests: SimpleQueue[Any]) -> None:
    try:
        while True:
            requests.put(pickle.load(questions))
    except EOFError:
        os._exit(0)  # nobody waits for the training under way


if __name__ == "__main__":
    main()
