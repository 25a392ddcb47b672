"""The archive of `torch.export`."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hebbevo.deploy.export.formats.format import Format, Run
from hebbevo.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

_PARTS = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|extra/[\w.]+"
    r"|archive_format|archive_version|version|byteorder|\.data/\w+"
)
_SIZES = re.compile(
    r"(Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|FloorDiv|positive|integer|nonnegative|True|False"
    r"|'[su]\d+'|\d+|[-+*/=(), ])*"
)


def _write(
    path: Path, exported: ExportedProgram, rows: Tensor, output: str, texts: Mapping[str, str]
) -> Mapping[str, str]:
    import torch

    torch.export.save(exported, path, extra_files=dict(texts))
    return {}


def _load(path: Path) -> tuple[Run, Mapping[str, str]]:
    import torch

    texts = _checked(path)
    network = torch.export.load(path).module()

    def run(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            return network(torch.from_numpy(rows)).numpy()  # type: ignore[no-any-return]

    return run, texts


def _checked(path: Path) -> dict[str, str]:
    """Check that an archive has nothing that PyTorch would run or unpickle; give its texts.

    `torch.export.load` unpickles what the archive says is a pickle, evaluates expressions for sizes, and
    calls any function of PyTorch by name.

    Raises:
        UsageError: it has such a part.
    """
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        folders = {name.partition("/")[0] for name in names}
        inner = {name.partition("/")[2]: name for name in names}
        if len(inner) != len(names) or len(folders) != 1:
            raise UsageError(f"{path}: holds parts with the same name; export it again")
        for name in inner:
            if not _PARTS.fullmatch(name):
                raise UsageError(f"{path}: holds {name}, which may have code; export it again")
        if archive.getinfo(inner["data/sample_inputs/model.pt"]).file_size:
            raise UsageError(f"{path}: holds pickled rows; export it again")
        plain = [json.loads(archive.read(inner[name])) for name in inner if name.endswith(".json")]
        for key, value in _entries(plain):
            if (
                (key == "use_pickle" and value)
                or (key == "guards_code" and value)
                or (key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)))
                or (key == "expr_str" and not _SIZES.fullmatch(str(value)))
                or (key == "target" and not re.match(r"torch\.ops\.aten\.|_operator\.", str(value)))
            ):
                raise UsageError(f"{path}: {key} {value!r} may run code; export it again")
        texts = {name: key for name, key in inner.items() if name.startswith("extra/")}
        return {name.removeprefix("extra/"): archive.read(key).decode() for name, key in texts.items()}


def _entries(plain: Any) -> Iterator[tuple[str, Any]]:
    """All entries of mappings in plain data, however deep."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(plain, list):
        for each in plain:
            yield from _entries(each)


PT2 = Format((), _write, _load)
