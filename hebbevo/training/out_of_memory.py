"""Errors that say that memory ran out. They concern all trainings of a process, not one of them."""

from __future__ import annotations

import errno

import torch

from hebbevo import user_code

_MESSAGES = (  # as PyTorch, oneDNN, C++, CUDA and the loader of libraries write it
    "DefaultCPUAllocator",
    "could not create a primitive",
    "could not create a memory",
    "bad_alloc",
    "CUDA error: out of memory",
    "_STATUS_ALLOC_FAILED",
    "cannot allocate memory",
    "failed to map segment",
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or its cause, says that a GPU or the machine had not enough memory."""
    # an error in the user's code is the cause of a UsageError
    if error.__cause__ and ran_out_of_memory(error.__cause__):
        return True
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError) and any(text in str(error) for text in _MESSAGES)


def raise_unless_failure(error: BaseException) -> None:
    """Raise the error again if it is not the failure of one training: if memory ran out, or for Ctrl-C."""
    user_code.raise_if_interrupted(error)
    if ran_out_of_memory(error):
        raise error
