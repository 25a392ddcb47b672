"""Tensors as safetensors, with the steps of the network as plain data, and beside them as a Python module."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hebbevo.deploy.export.formats.format import Format, Run
from hebbevo.deploy.export.interface import Interface

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from hebbevo.deploy.export.program import Program

_PROGRAM = "program"

_MODULE = '''\
"""{title}

Made by hebbevo. Needs PyTorch and safetensors alone.

    from {module} import load
    {output} = load("{file}")(rows)
"""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

CLASSES = {classes}
COLUMNS = {columns}
PARAMETERS = {parameters}
aten = torch.ops.aten


def load(path):
    """The network with the tensors of a file."""
    return Network(load_file(path)).eval()


class Network(torch.nn.Module):
    """{takes}
    """

    def __init__(self, tensors):
        super().__init__()
        for name, tensor in tensors.items():
            if name in PARAMETERS:
                self.register_parameter(name, torch.nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    def forward(self, rows):
{steps}
'''


def _write(
    path: Path, exported: ExportedProgram, rows: Tensor, output: str, texts: Mapping[str, str]
) -> Mapping[str, str]:
    from safetensors.torch import save

    from hebbevo.deploy.export.program import Program

    program, tensors = Program.of(exported)
    path.write_bytes(save(tensors, {**texts, _PROGRAM: program.to_json()}))
    return {".py": _code(program, path, Interface.from_json(texts["interface"]), texts["title"])}


def _code(program: Program, path: Path, interface: Interface, title: str) -> str:
    """The Python module that rebuilds the network."""
    columns = {column.name: list(column.categories) or "number" for column in interface.columns}
    shape = ", ".join(["rows", *map(str, interface.shape)])
    gives = f"{interface.output}, a column for each of CLASSES" if interface.classes else interface.output
    takes = f"Takes rows, shape ({shape}), torch.{interface.dtype}; gives {gives}."
    if columns:
        takes += " A category is given as its place in COLUMNS."
    module = path.stem if path.stem.isidentifier() and not keyword.iskeyword(path.stem) else "THIS_MODULE"
    return _MODULE.format(
        title=_in_docstring(title),
        module=module,
        output=interface.output,
        file=_in_docstring(path.name),
        classes=_literal(list(interface.classes)),
        columns=_literal(columns),
        parameters=_literal(list(program.parameters)),
        takes="\n    ".join(textwrap.wrap(takes, 100)),
        steps="\n".join(f"        {line}" for line in program.code()),
    )


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")


def _literal(value: list[Any] | dict[str, Any]) -> str:
    """A list or a mapping as Python code, on several lines where one is too long."""
    line = repr(value)
    if len(line) <= 90:
        return line
    if isinstance(value, dict):
        parts = [f"    {key!r}: {each!r},\n" for key, each in value.items()]
        return "{\n" + "".join(parts) + "}"
    wrapped = textwrap.wrap(line[1:-1], 100, break_long_words=False, break_on_hyphens=False)
    long = any(isinstance(each, str) and " " in each for each in value)
    lines = [repr(each) + "," for each in value] if long else wrapped
    return "[\n" + "".join(f"    {each}\n" for each in lines) + "]"


def _load(path: Path) -> tuple[Run, Mapping[str, str]]:
    import torch
    from safetensors import safe_open

    from hebbevo.deploy.export.program import Program

    with safe_open(path, "pt") as file:
        texts = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    program = Program.from_json(texts[_PROGRAM])

    def run(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            return program(tensors, torch.from_numpy(rows)).numpy()

    return run, texts


SAFETENSORS = Format(("safetensors",), _write, _load)
