"""The user's own code, named in a space file as ``package.module:name``."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from hebbevo.errors import HebbevoError, UsageError

NO_SOURCE = "no source file"
_NOT_THE_USERS = (Path(sysconfig.get_path("stdlib")), Path(__file__).parent)
_INSTALLED = {"site-packages", "dist-packages"}


def is_reference(text: str) -> bool:
    """Whether the text names code: a dotted module, a colon, a name or a dotted path of attributes."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def resolve(text: str) -> Callable[..., Any]:
    """Import what a reference names; the working directory can be imported from, as for ``python -m``.

    Raises:
        UsageError: if its module is missing or cannot be imported, or has no such name, or that cannot be
            called.
    """
    module_name, _, name = text.partition(":")
    module = _imported(text, module_name)
    found: Any = module
    for part in name.split("."):
        with calling(text):  # a module may have a __getattr__ that imports more
            there = hasattr(found, part)
        if not there:
            place = getattr(module, "__file__", None) or module_name
            raise UsageError(f"{text}: there is no {name} in {place}; {_advice(found, part)}")
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise UsageError(f"{text}: cannot be called, it is of type {kind}; name a function or a class")
    return found  # type: ignore[no-any-return]


def source_digest(text: str) -> str:
    """SHA-256 (64 hex digits) of the source file of a reference's module, or ``NO_SOURCE``.

    Only packages around the module are imported, the module is not. A change in another file that it imports
    goes unnoticed.
    """
    module_name = text.partition(":")[0]
    _look_in_working_directory()
    try:
        spec = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):  # no such package, or the script that runs
        spec = None
    file = spec.origin if spec else getattr(sys.modules.get(module_name), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and os.path.isfile(file) else NO_SOURCE


@contextmanager
def calling(text: str) -> Iterator[None]:
    """Turn what the code that the reference ``text`` names raises into one line that says where.

    Raises:
        UsageError: for any exception and for ``SystemExit``. A ``UsageError`` is told as it is, after the
            reference; any other error of hebbevo passes.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{text}: {error}") from error
    except HebbevoError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{text}: raised {_told(text, error)}") from error


def called(text: str) -> Callable[..., Any]:
    """What a reference names, as `resolve` gives it; what it raises is told as by `calling`."""
    function = resolve(text)

    def call(*args: Any, **kwargs: Any) -> Any:
        with calling(text):
            return function(*args, **kwargs)

    return call


def _imported(text: str, module_name: str) -> ModuleType:
    _look_in_working_directory()
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and not _place(text, error):  # else it is the user's module that misses something
            complaint = f"no module named {missing}; {_whereabouts(missing)}"
        else:
            complaint = f"importing {module_name} raised {_told(text, error)}"
        _forget_orphans(module_name)
        raise UsageError(f"{text}: {complaint}") from error


def _look_in_working_directory() -> None:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be newer than the last look


def _whereabouts(missing: str) -> str:
    """What to do, or in which package it is missing, as another of that name may hide the user's."""
    package = missing.rpartition(".")[0]
    if not package:
        return "run hebbevo in the folder that holds it"
    parent = sys.modules[package]
    places = [*getattr(parent, "__path__", ()), getattr(parent, "__file__", None) or "Python itself"]
    return f"the package {package} is {places[0]}"


def _forget_orphans(module_name: str) -> None:
    """Finish what Python begins: a package that fails is forgotten, the modules that it had imported are not.

    With them still there, the next attempt could fail differently.
    """
    root = module_name.partition(".")[0]
    for name in sorted(sys.modules):  # parents first
        if name.startswith(f"{root}.") and name.rpartition(".")[0] not in sys.modules:
            del sys.modules[name]


def _advice(owner: object, name: str) -> str:
    public = [other for other in dir(owner) if not other.startswith("_")]
    close = difflib.get_close_matches(name, public, n=1)
    return f"did you mean {close[0]}?" if close else "define it, or name another"


def _told(text: str, error: BaseException) -> str:
    """The type of an error, the first line of its message, and where in the user's code it came up."""
    message = (error.msg or "") if isinstance(error, SyntaxError) else str(error)
    told = ": ".join([type(error).__name__, *message.strip().splitlines()[:1]])
    place = _place(text, error)
    return f"{told} ({place})" if place else told


def _place(text: str, error: BaseException) -> str | None:
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}:{error.lineno}"
    package = text.partition(":")[0].partition(".")[0]
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_users(frame, package)
    ]
    return own[-1] if own else None


def _is_users(frame: FrameType, package: str) -> bool:
    file = Path(frame.f_code.co_filename)
    if str(file).startswith("<"):  # no file, as of code that was generated
        return False
    if frame.f_globals.get("__name__", "").partition(".")[0] == package:
        return True  # even where it is installed
    return not _INSTALLED & set(file.parts) and not any(map(file.is_relative_to, _NOT_THE_USERS))
