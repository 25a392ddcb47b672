"""Foreign parsers fail on junk in many ways; a caller sees one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hebbevo.errors import DataError


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on the file ``path`` into one line that calls for a sound ``kind``.

    Raises:
        DataError: for any error but a ``DataError``, which passes as it is.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; write the path of {kind}") from None
    except Exception as error:  # also MemoryError: a junk header can ask for any size
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); put {kind} there") from error
