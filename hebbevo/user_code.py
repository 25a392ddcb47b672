"""The user's own code, named in a space file by a reference such as ``package.module:name``."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

from hebbevo import import_path, user_modules
from hebbevo.errors import HebbevoError, UsageError, UserCodeError
from hebbevo.messages import describe, did_you_mean, first_line

NO_SOURCE = user_modules.NO_SOURCE
_added: list[str] = []  # the folder that was added to the path of modules, if one was


def is_reference(text: str) -> bool:
    """Whether the text names code: a dotted module, a colon, and a name or a dotted path of attributes.

    >>> is_reference("package.module:function"), is_reference("data/table.csv")
    (True, False)
    """
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def is_allowed(code: list[str], permission: bool | Callable[[list[str]], bool]) -> bool:
    """Whether code that a study names may be imported; no code needs no permission.

    >>> is_allowed(["mine:net"], False), is_allowed(["mine:net"], lambda names: names == ["mine:net"])
    (False, True)

    Raises:
        UsageError: the permission is neither a truth value nor a function.
    """
    if not isinstance(permission, bool) and not callable(permission):
        raise UsageError(f"allow_code: {permission!r} is no permission; write True or False, or a function")
    return not code or (permission if isinstance(permission, bool) else bool(permission(code)))


def resolve(reference: str) -> Callable[..., Any]:
    """Import what a reference names. The working directory is searched too, before installed packages.

    >>> resolve("math:sqrt")(9.0)
    3.0

    Raises:
        UsageError: the module is missing or fails to import, has no such name, or what it names cannot be
            called.
    """
    module_name, _, name = reference.partition(":")
    module = _import(reference, module_name)
    found: Any = module
    for part in name.split("."):
        with calling(reference):  # a module may have a __getattr__ that imports more
            exists = hasattr(found, part)
        if not exists:
            place = getattr(module, "__file__", None) or module_name
            public = [other for other in dir(found) if not other.startswith("_")]
            advice = did_you_mean(part, public, "define it, or name another")
            raise UsageError(f"{reference}: there is no {name} in {place}; {advice}")
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise UsageError(f"{reference}: cannot be called, it is of type {kind}; name a function or a class")
    return found  # type: ignore[no-any-return]


def refresh(references: Sequence[str]) -> None:
    """Forget code whose files have changed since it was imported, so that `resolve` imports it anew.

    That concerns the modules of the references and all modules of the user that they import. Call it before
    a study, never during one: a study runs one loading of the code.

    >>> refresh(["math:sqrt"])
    """
    if not references:
        return  # then nothing may be imported from the current folder
    _search_working_directory()
    user_modules.forget_changed([_module(reference) for reference in references])


def source_digest(reference: str) -> str:
    """SHA-256 (64 hex digits) of the source that the module of a reference was loaded from, or ``NO_SOURCE``.

    A module that is not loaded is not imported; the digest is then that of its file.
    """
    _search_working_directory()
    return user_modules.digest(_module(reference))


def source_digests(references: Sequence[str]) -> dict[str, str]:
    """The digests of the modules of references, and of all modules of the user that they import, by name.

    Modules of installed packages are left out.
    """
    if not references:
        return {}
    _search_working_directory()
    return user_modules.digests([_module(reference) for reference in references])


@contextmanager
def calling(reference: str) -> Iterator[None]:
    """Turn an exception that the user's code raises into one line with the reference and the place.

    Raises:
        UserCodeError: for any exception, but not for Ctrl-C. A ``UsageError`` keeps its message, after the
            reference. Other errors of hebbevo pass unchanged.
    """
    try:
        yield
    except UsageError as error:
        raise UserCodeError(f"{reference}: {error}") from error
    except HebbevoError:
        raise
    except BaseException as error:
        raise_if_interrupted(error)
        raise UserCodeError(f"{reference}: raised {_describe_with_place(reference, error)}") from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it Ctrl-C raises a ``KeyboardInterrupt`` of a class that no code of the user raises.

    A handler other than Python's own stays; outside the main thread Python delivers no signals.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _CtrlC(KeyboardInterrupt):
    """Ctrl-C, and nothing that code of the user raises."""


def _interrupt(*_: object) -> None:
    raise _CtrlC


def raise_if_interrupted(error: BaseException) -> None:
    """Raise the error again if Ctrl-C is its cause, and not the code that ran.

    Within `interruptible`, during a search and in its workers, Python's own handler is replaced by one that
    raises no plain ``KeyboardInterrupt``. So there, and outside the main thread, only code of the user
    raises one.

    >>> raise_if_interrupted(SystemExit("no data"))
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    is_plain = type(error) is KeyboardInterrupt
    if isinstance(error, KeyboardInterrupt) and (
        not is_plain or (is_default and threading.current_thread() is threading.main_thread())
    ):
        raise error


def called(reference: str) -> Callable[..., Any]:
    """What a reference names, as by `resolve`; an exception in a call of it is reported as by `calling`."""
    function = resolve(reference)

    def call(*args: Any, **kwargs: Any) -> Any:
        with calling(reference):
            return function(*args, **kwargs)

    return call


def _module(reference: str) -> str:
    return reference.partition(":")[0]


def _import(reference: str, module_name: str) -> ModuleType:
    _search_working_directory()
    user_modules.record_imports()
    before = () if module_name in sys.modules else tuple(sys.modules)
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        raise_if_interrupted(error)
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        # with a place in the user's code, the module is there and imports another that is missing
        if missing and not _place(reference, error):
            complaint = f"no module named {missing}; {_advice_on_missing(missing)}"
        else:
            complaint = f"importing {module_name} raised {_describe_with_place(reference, error)}"
        _remove_orphaned_modules(module_name)
        raise UsageError(f"{reference}: {complaint}") from error
    if before:
        user_modules.note_imports(module_name, before)
    return module


def _search_working_directory() -> None:
    folder = os.getcwd()
    if folder not in sys.path or _added:
        # the folder of an earlier study gives way: modules of the same names may lie in both
        before = [entry for entry in sys.path if entry not in _added]
        sys.path[:] = import_path.with_folder(before, folder)
        _added[:] = [folder] if folder not in before else []
    importlib.invalidate_caches()  # the file may be newer than what Python remembers of the folder


def _advice_on_missing(module_name: str) -> str:
    """What to do, or where its package is, since another package of that name may hide the user's."""
    package = module_name.rpartition(".")[0]
    if not package:
        return "run hebbevo in the folder that holds it"
    parent = sys.modules[package]
    places = [*getattr(parent, "__path__", ()), getattr(parent, "__file__", None) or "Python itself"]
    return f"the package {package} is {places[0]}"


def _remove_orphaned_modules(module_name: str) -> None:
    """Remove the modules that a failed package had imported; Python itself removes only the package.

    With them still loaded, the next attempt could fail differently.
    """
    root = module_name.partition(".")[0]
    for name in sorted(sys.modules):  # parents first
        if name.startswith(f"{root}.") and name.rpartition(".")[0] not in sys.modules:
            del sys.modules[name]


def _describe_with_place(reference: str, error: BaseException) -> str:
    """The type of an error, the first line of its message, and the place in the user's code."""
    description = describe(error)
    if isinstance(error, SyntaxError) and error.msg:  # without the file, which follows as the place
        description = f"{type(error).__name__}: {first_line(error.msg)}"
    place = _place(reference, error)
    return f"{description} ({place})" if place else description


def _place(reference: str, error: BaseException) -> str | None:
    """The innermost ``file:line`` of the user's code that an error passed through."""
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}:{error.lineno}"
    package = reference.partition(":")[0].partition(".")[0]
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_of_the_user(frame, package)
    ]
    return places[-1] if places else None


def _is_of_the_user(frame: FrameType, package: str) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<"):  # generated code has no file
        return False
    if frame.f_globals.get("__name__", "").partition(".")[0] == package:
        return True  # even where it is installed
    return user_modules.is_of_the_user(file)
