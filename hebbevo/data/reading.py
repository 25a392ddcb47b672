"""One error for all the ways in which a parser fails on a damaged file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hebbevo.errors import DataError
from hebbevo.messages import first_line


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn any exception of a parser into one line that asks for a proper file.

    Args:
        path: the file that is parsed.
        kind: what it should be, as ``an .npz file``.

    Raises:
        DataError: for any exception; a ``DataError`` passes unchanged.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; write the path of {kind}") from None
    except Exception as error:  # also MemoryError: a damaged header can ask for any size
        reason = first_line(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); put {kind} there") from error
