"""Whether a new study fits into memory, estimated before anything large is allocated.

The estimates count the largest arrays only. Measured peaks were 1 to 1.3 times as large, with networks of the
user 1.7 times.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from hebbevo.data import TEXT_SUFFIXES
from hebbevo.errors import UsageError
from hebbevo.networks import CONVOLUTIONAL, Architecture
from hebbevo.outer.packing import genomes_per_cohort
from hebbevo.paths import expanded
from hebbevo.spec import Spec

_GENOME = 500  # bytes of the shortest genome with its record, and of each gene
_GENE = 100
_EPOCH = 100  # bytes of what one epoch of one network gives
_CANDIDATE = 50  # bytes of one training that waits
# bytes of a weight in training: it stands in the network, its model and the stack; its gradient, two moments,
# and what a step computes
_TRAINED = 28
_CELL = 8  # bytes of a feature beside those of the file: standardised, and divided into sets of rows
_PARSED = 24  # bytes of a number that was read from a text
_SAMPLED = 2**16  # bytes of a text in which numbers are counted
_MOST_THREADS_PER_CORE = 64


def available_memory() -> int:
    """Bytes that this process may still allocate: what the machine has free, and what its limits allow.

    >>> available_memory() > 0
    True
    """
    return max(1, min(_free_memory(), default=2**62))


def check_search(spec: Spec, cores: int) -> None:
    """Check what the settings of a search need, whatever the data and the networks are.

    Args:
        spec: the search.
        cores: cores that this process may use.

    Raises:
        UsageError: they cannot fit.
    """
    search = spec.search
    most = _MOST_THREADS_PER_CORE * cores
    if search.threads > most:
        what = f"{search.threads} threads are too many for {cores} cores"
        raise UsageError(f"search.threads: {what}; write {most} or fewer")
    genome = _GENOME + _GENE * spec.space.dimension
    _check("search.population", f"a generation of {search.population} genomes", search.population * genome)
    nets = _nets_in_cohort(spec, search.cohort_width or 1)
    _check("search.replicates", f"a cohort of {nets} networks", nets * _CANDIDATE)
    _check("task.epochs", f"the record of {spec.task.epochs} epochs", nets * spec.task.epochs * _EPOCH)


def check_data(dataset: str) -> None:
    """Check that a file of data fits into memory; names of data sets and of code pass.

    Raises:
        UsageError: it cannot fit.
    """
    path = expanded(dataset)
    with suppress(OSError, zipfile.BadZipFile):
        if not path.is_file():
            return
        size = path.stat().st_size
        if path.suffix == ".npz":
            size = _unpacked(path)
        elif path.suffix in TEXT_SUFFIXES:
            size += _PARSED * _numbers_in(path)
        _check("task.dataset", f"{dataset}", size, "give a part of it")


def check_networks(where: str, weights: int, spec: Spec) -> None:
    """Check that the largest network fits, and a cohort of as many as are asked for.

    Args:
        where: what in the space file gives it its size.
        weights: number of its weights.
        spec: the search.

    Raises:
        UsageError: they cannot fit.
    """
    _check(where, f"the largest network with {weights:.3g} weights", weights * _TRAINED)
    nets = _nets_in_cohort(spec, spec.search.cohort_width or 1)
    where = "search.cohort_width" if (spec.search.cohort_width or 1) >= nets else "search.replicates"
    _check(where, f"a cohort of {nets} networks with {weights:.3g} weights each", nets * weights * _TRAINED)


def _unpacked(path: Path) -> int:
    """Bytes of the arrays of an .npz file, and of what becomes of them."""
    with zipfile.ZipFile(path) as parts:
        return sum(max(part.file_size, _of_array(parts, part)) for part in parts.infolist())


def _of_array(parts: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """Bytes of one array and of what becomes of it; 0 where it is none, which loading it reports."""
    form = np.lib.format
    with suppress(ValueError), parts.open(part) as opened:
        is_first = form.read_magic(opened) == (1, 0)
        shape, _, kind = (form.read_array_header_1_0 if is_first else form.read_array_header_2_0)(opened)
        copied = kind.itemsize if kind.itemsize > 4 else 0  # standardised before it is rounded to float32
        return math.prod(shape) * (kind.itemsize + copied + (_CELL if len(shape) > 1 else 0))
    return 0


def _numbers_in(path: Path) -> int:
    """About how many numbers a table of text has."""
    with path.open("rb") as file:
        start = file.read(_SAMPLED)
    separators = max(start.count(each) for each in (b",", b";", b"\t", b"|")) + start.count(b"\n")
    return path.stat().st_size * separators // max(1, len(start))


def count_weights(architecture: Architecture) -> int:
    """Number of weights between the layers of a network, without biases.

    >>> count_weights(Architecture("mlp", (8, 4), "stamina", False, (3,), 2))
    64
    """
    weights, inputs = 0, architecture.features
    if architecture.family in CONVOLUTIONAL:
        # other kernels are settings, but those of 5 x 5 are usual where there is a choice
        kernel = 9 if architecture.family == "conv" else 25
        colours, *size = architecture.shape
        for before, width in pairwise((colours, *architecture.channels)):
            weights += kernel * before * width
            size = [side // 2 for side in size] if min(size) >= 4 else size
        inputs = architecture.channels[-1] * math.prod(size)
    return weights + sum(a * b for a, b in pairwise((inputs, *architecture.hidden, architecture.classes)))


def _nets_in_cohort(spec: Spec, width: int) -> int:
    """Number of networks in the widest cohort that a search can have."""
    search = spec.search
    genomes = genomes_per_cohort(search.replicates, width)
    return min(genomes, search.population) * search.replicates


def _check(where: str, what: str, needed: int, advice: str = "write a smaller number") -> None:
    there = available_memory()
    if needed > there:
        raise UsageError(f"{where}: {what} needs {_size(needed)}; {_size(there)} are there; {advice}")


def _size(count: int) -> str:
    """Bytes in the largest unit of which there is at least one."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            return f"{count / unit:.0f} {name}" if count >= 10 * unit else f"{count / unit:.2g} {name}"
    return f"{count} bytes"


def _free_memory() -> Iterator[int]:
    """What the machine has free, and what is left of each limit of this process. Linux only."""
    with suppress(OSError, ValueError):
        machine = _table(Path("/proc/meminfo"))
        yield 1024 * (machine["MemAvailable"] + machine.get("SwapFree", 0))
    with suppress(OSError, ValueError, KeyError):
        import resource

        used = _table(Path("/proc/self/status"))
        for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY:
                yield most - 1024 * used[name]
    groups = Path("/sys/fs/cgroup")
    for most_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # "max" is no number
            yield int((groups / most_file).read_text()) - int((groups / used_file).read_text())


def _table(path: Path) -> dict[str, int]:
    """The numbers, in kB, of one of Linux's tables."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 2 and row[1].isdecimal()}
