"""The formats of exported networks, by the end of a file's name."""

from hebbevo.deploy.export.formats.format import Format
from hebbevo.deploy.export.formats.onnx import ONNX
from hebbevo.deploy.export.formats.pt2 import PT2
from hebbevo.deploy.export.formats.safetensors import SAFETENSORS

FORMATS: dict[str, Format] = {".pt2": PT2, ".onnx": ONNX, ".safetensors": SAFETENSORS}

__all__ = ["FORMATS", "Format"]
