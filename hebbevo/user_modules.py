"""Which modules of the user's are loaded, from which source, and whether their files have changed since.

A digest that is recorded and the code that runs must be of one loading. So modules of the user are loaded
from their source, never from a cached compilation, and the digest is that of the text that was compiled.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from hebbevo.import_path import INSTALLED

NO_SOURCE = "no source file"
_NOT_OF_THE_USER = (Path(sysconfig.get_path("stdlib")), Path(__file__).parent)

_digests: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()  # of the source that each was loaded from
_found_by: dict[str, set[str]] = {}  # by the module that was named, the modules that its import has loaded


@lru_cache(maxsize=4096)
def is_of_the_user(file: str | Path) -> bool:
    """Whether a file is neither Python's nor hebbevo's, nor that of an installed package."""
    path = Path(file)
    if str(path).startswith("<"):  # generated code has no file
        return False
    return not INSTALLED & set(path.parts) and not any(map(path.is_relative_to, _NOT_OF_THE_USER))


def record_imports() -> None:
    """From now on load the user's modules from their source, and keep the digest of it."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, _Finder())


def note_imports(name: str, before: Iterable[str]) -> None:
    """Note what the import of the module ``name`` has loaded, also by names that its source does not show.

    Args:
        name: the module.
        before: the names of the modules that were loaded before.
    """
    new = [other for other in sys.modules.keys() - set(before) if sys.modules[other] in _digests]
    _found_by.setdefault(name, set()).update(new)


def digest(name: str) -> str:
    """SHA-256 (64 hex digits) of the source that a module was loaded from, or else of its file.

    A module that is not loaded is not imported for it. Without a source this is `NO_SOURCE`.
    """
    module = sys.modules.get(name)
    if module is not None and module in _digests:
        return _digests[module]
    file = _file_of(name) or getattr(module, "__file__", None)
    return _digest_of(file) if file and os.path.isfile(file) else NO_SOURCE


def digests(names: Sequence[str]) -> dict[str, str]:
    """The digests of modules of the user, and of all modules of the user that they import, by name.

    Args:
        names: the modules.
    """
    return {name: digest(name) for name in sorted(_imports_of(names))}


def changed(expected: Mapping[str, str], *, loaded_only: bool = False) -> list[str]:
    """The modules whose digest is another than the expected one.

    Args:
        expected: digests by name.
        loaded_only: whether to leave out modules that are not loaded.
    """
    return [
        name
        for name, each in expected.items()
        if (name in sys.modules or not loaded_only) and digest(name) != each
    ]


def forget_changed(names: Sequence[str]) -> None:
    """Remove loaded modules of the user whose files have changed, so that the next import loads them anew.

    Modules that import one of these are removed too. All others stay the same objects.

    Args:
        names: the modules to look at, with all that they import.
    """
    imports = _imports_of(names)
    stale = {name for name in imports if name in sys.modules and not _is_current(name)}
    found = {name: found for name, found in _found_by.items() if name in imports}
    while stale != (
        more := stale | {name for name, own in (*imports.items(), *found.items()) if own & stale}
    ):
        stale = more
    packages = tuple(f"{name}." for name in stale)
    for name in [name for name in sys.modules if name in stale or name.startswith(packages)]:
        del sys.modules[name]


class _Loader(SourceFileLoader):
    """Loads a module from its source and keeps the digest of that source."""

    def exec_module(self, module: ModuleType) -> None:
        source = self.get_data(self.path)
        _digests[module] = hashlib.sha256(source).hexdigest()
        exec(self.source_to_code(source, self.path), vars(module))


class _Finder(MetaPathFinder):
    """Finds what the finders behind it find, and lets `_Loader` load modules of the user."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec and spec.origin and type(spec.loader) is SourceFileLoader and is_of_the_user(spec.origin):
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def _is_current(name: str) -> bool:
    """Whether a loaded module has been loaded from the source that its file has now."""
    module, file = sys.modules[name], _file_of(name)
    if file is None:
        return module not in _digests  # its file was removed, or it never had one
    if module not in _digests and _process_start() > os.stat(file).st_ctime:
        _digests[module] = _digest_of(file)  # loaded before imports were recorded, and unchanged since
    return _digests.get(module) == _digest_of(file)


def _imports_of(names: Sequence[str]) -> dict[str, set[str]]:
    """The modules of the user among these and among all that they import, each with what it imports."""
    found: dict[str, set[str]] = {}
    specs: dict[str, ModuleSpec | None] = {}
    waiting = [each for name in names for each in (*_with_packages(name), *_found_by.get(name, ()))]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file, spec = _file_of(name, specs), specs[name]
        if spec and file and is_of_the_user(file):
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            own = {each for other in _imported_names(file, package) for each in _with_packages(other)}
            found[name] = {*own, *_with_packages(name)} - {name}
            waiting += found[name]
        elif sys.modules.get(name) in _digests:
            found[name] = set()  # its file was removed
    return {name: imported & found.keys() for name, imported in found.items()}


def _with_packages(name: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``: packages are imported with their modules."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _imported_names(file: str, package: str) -> Iterator[str]:
    """The names of all modules that a source may import, wherever in it, and of what it takes from them."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # its import fails too
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}".removeprefix(".") for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield _absolute(node.args[0].value, package)


def _absolute(name: str, package: str) -> str:
    """The absolute name for one with leading dots: a dot stands for the package, each further for one up."""
    rest = name.lstrip(".")
    if not (level := len(name) - len(rest)):
        return name
    base = ".".join(package.split(".")[: len(package.split(".")) - level + 1])
    return ".".join(filter(None, (base, rest)))


def _file_of(name: str, specs: dict[str, ModuleSpec | None] | None = None) -> str | None:
    """The source file of a module, or ``None``; nothing is imported."""
    spec = _find(name, {} if specs is None else specs)
    return spec.origin if spec and spec.origin and os.path.isfile(spec.origin) else None


def _find(name: str, specs: dict[str, ModuleSpec | None]) -> ModuleSpec | None:
    """The spec of a module, found in its packages without importing these; ``specs`` keeps those found."""
    if name in specs:
        return specs[name]
    specs[name], path = None, None
    parent = name.rpartition(".")[0]
    if parent:
        outer = _find(parent, specs)
        if outer is None or outer.submodule_search_locations is None:
            return None
        path = list(outer.submodule_search_locations)
    if name and name != "__main__":
        with suppress(ImportError, ValueError, AttributeError, KeyError):
            found = (finder.find_spec(name, path) for finder in sys.meta_path)
            specs[name] = next(filter(None, found), None)
    return specs[name]


def _digest_of(file: str | Path) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _process_start() -> float:
    """When this process started, as files are dated; 0 where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
