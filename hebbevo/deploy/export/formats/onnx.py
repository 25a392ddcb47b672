"""ONNX, for onnxruntime and other runtimes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy.typing as npt

from hebbevo.deploy.export.formats.format import Format, Run
from hebbevo.deploy.export.interface import INPUT

if TYPE_CHECKING:
    import onnx
    from torch import Tensor
    from torch.export import ExportedProgram


def _write(
    path: Path, exported: ExportedProgram, rows: Tensor, output: str, texts: Mapping[str, str]
) -> Mapping[str, str]:
    import onnx
    import torch

    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own parts
            program = torch.onnx.export(
                exported,
                (rows,),
                dynamo=True,
                external_data=False,
                input_names=[INPUT],
                output_names=[output],
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    assert program is not None
    model = program.model_proto
    _tidy(model)
    for name, text in texts.items():
        model.metadata_props.add(key=name, value=text)
    onnx.checker.check_model(model)
    onnx.save_model(model, path)
    return {}


def _tidy(model: onnx.ModelProto) -> None:
    """Drop notes of the exporter on each node, which have paths of this machine and are long."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = INPUT
    del model.functions[:]
    model.doc_string = ""


def _load(path: Path) -> tuple[Run, Mapping[str, str]]:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return cast(npt.NDArray[Any], session.run(None, {INPUT: rows})[0])

    return run, session.get_modelmeta().custom_metadata_map


ONNX = Format(("onnx", "onnxscript", "onnxruntime"), _write, _load)
