"""Writing a network as a file to deploy."""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from hebbevo.data.preprocessing import ROWS_AT_A_TIME
from hebbevo.deploy.compaction import Compaction, NotEqual
from hebbevo.deploy.export.card import MADE_BY, Card
from hebbevo.deploy.export.deployed import Deployed, interface_of, rows_of_features
from hebbevo.deploy.export.formats import Format
from hebbevo.deploy.export.interface import Interface
from hebbevo.deploy.export.loading import ExportedNetwork, format_of, load_exported
from hebbevo.deploy.export.measurement import ROWS, latencies, one_thread
from hebbevo.deploy.trained_network import TrainedNetwork
from hebbevo.errors import HebbevoError, UsageError
from hebbevo.messages import describe
from hebbevo.nn.forward_pass.side_effects import without_side_effects
from hebbevo.nn.liveness.counting import count
from hebbevo.paths import expanded

if TYPE_CHECKING:
    import pandas as pd

_TOLERANCE = 3e-4  # of the spread of the outputs, as for compact networks
_ROWS_TO_CUT_ON = 512
_NOTES_OF_NODES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")


@dataclass(frozen=True)
class Export:
    """A network that was written.

    Attributes:
        files: the files, the network first.
        left: what could not be cut out of it, by layer.
        difference: largest difference of its outputs to those of the network, as a share of their spread.
    """

    files: tuple[Path, ...]
    left: Mapping[str, str]
    difference: float
    _net: nn.Module
    _rows: Tensor
    _own_rows: Tensor
    _counts: Mapping[str, tuple[int, int]]

    def sizes(self) -> pd.DataFrame:
        """Measure size and latency of the network ``before`` and ``after``; latency on one thread.

        Returns:
            A row for each, with the columns ``parameters``, ``multiply_adds``, ``bytes``, and
            ``microseconds_1_row`` and ``microseconds_64_rows``. Before are the bytes of the ``state_dict``.
        """
        import pandas as pd

        net = copy.deepcopy(self._net).cpu().eval()
        state = io.BytesIO()
        torch.save(net.state_dict(), state)
        sizes = {"before": state.tell(), "after": self.files[0].stat().st_size}
        rows: dict[str, dict[str, float]] = {
            when: {
                "parameters": self._counts[when][0],
                "multiply_adds": self._counts[when][1],
                "bytes": sizes[when],
            }
            for when in sizes
        }
        with one_thread(), torch.inference_mode():
            exported = load_exported(self.files[0])
            for number in ROWS:
                own, given = _repeated(self._own_rows, number), _repeated(self._rows, number).numpy()
                calls = {"before": partial(net, own), "after": partial(exported.outputs, given)}
                for when, each in latencies(calls).items():
                    rows[when][f"microseconds_{number}_row{'s' * (number > 1)}"] = round(each, 1)
        return pd.DataFrame.from_dict(rows, orient="index")


@dataclass(frozen=True)
class _Plan:
    """What is exported.

    Attributes:
        net: the network as it was given.
        small: the module to export.
        interface: what it takes and gives.
        own_rows: rows as the network takes them.
        rows: the same rows as the module takes them.
        expected: the outputs for them.
        left: what could not be cut.
        body: the part of the module that was cut.
    """

    net: nn.Module
    small: nn.Module
    interface: Interface
    own_rows: Tensor
    rows: Tensor
    expected: npt.NDArray[Any]
    left: Mapping[str, str]
    body: nn.Module


def export(net: nn.Module, path: str | Path, example: Any = None, *, license: str = "not stated") -> Export:
    """Write a network as a file to deploy, without what is dead; the end of the name says the format.

    ``.pt2`` is for `torch.export.load`, ``.onnx`` for onnxruntime and others. ``.safetensors`` comes with a
    short Python module of the same name, which rebuilds the network with PyTorch and safetensors alone. All
    take any number of rows.

    The file of a network of a study takes rows as the data have them, and gives probabilities, or the value
    of a regression. Names of classes and columns are in it, and its model card, which is also beside it.
    A file gets its name once its outputs were compared with those of the network on the example.

    Args:
        net: what `hebbevo.network` or `Study.champion` returns; or any module of one input tensor, also what
            `hebbevo.compact` returns.
        path: ends in .pt2, .onnx or .safetensors. A file of that name is replaced.
        example: real rows, on which outputs are compared. For the network of a study in any form that its
            ``predict`` takes, by default its validation rows; for a module the tensor that it takes, two rows
            or more.
        license: what the card says about it.

    Raises:
        UsageError: the network cannot be exported, a package is missing, or the file cannot be written.
        NotEqual: the file has other outputs than the network; nothing was written.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> import hebbevo
        >>> from hebbevo.nn import Stamina
        >>> net = nn.Sequential(nn.Linear(4, 8), Stamina(8), nn.Linear(8, 3))
        >>> net[1].alive[2:] = False
        >>> exported = hebbevo.export(net, "small.safetensors", torch.randn(10, 4))
        >>> [path.name for path in exported.files]
        ['small.safetensors', 'small.py', 'small.md']
        >>> exported.sizes().parameters.to_dict()
        {'before': 67, 'after': 19}
    """
    path = expanded(path)
    format_ = format_of(path)
    _refuse_others_files(path)
    plan = _plan(net, example)
    program = _program(plan)
    counts = {"before": _counted(plan.net, plan.own_rows), "after": _counted(plan.body, plan.own_rows)}
    card = Card(
        file=path.name,
        interface=plan.interface,
        provenance=getattr(net, "provenance", None),
        figures=getattr(net, "figures", None),
        left=plan.left,
        parameters=counts["after"][0],
        multiply_adds=counts["after"][1],
        license=license,
    )
    files, difference = _write(path, format_, plan, program, card)
    return Export(files, plan.left, difference, plan.net, plan.rows, plan.own_rows, counts)


def _plan(net: nn.Module, example: Any) -> _Plan:
    """Cut what is dead, and find out what the result takes and gives."""
    if isinstance(net, TrainedNetwork):
        return _plan_of_study(net, example)
    net = getattr(net, "_orig_mod", net)  # what `torch.compile` wraps
    if not isinstance(net, nn.Module):
        raise UsageError(f"export: given a {type(net).__name__}; give a network")
    if not isinstance(example, Tensor) or len(example) < 2:
        raise UsageError("export: give an example, a tensor of two rows or more that the network takes")
    compaction = Compaction.of(net, example)
    small = compaction.module.cpu()
    rows = example.detach().cpu()
    interface = Interface(
        shape=tuple(rows.shape[1:]),
        dtype=str(rows.dtype).removeprefix("torch."),
        classes=tuple(getattr(net, "classes", ())),
    )
    return _Plan(net, small, interface, rows, rows, _outputs(net, rows).numpy(), compaction.left, small)


def _plan_of_study(net: TrainedNetwork, example: Any) -> _Plan:
    preprocessing = net.preprocessing
    raw = net.validation_rows() if example is None else preprocessing.features(example)
    if len(raw) < 2:
        raise UsageError("export: give two rows or more as example")
    features = torch.from_numpy(raw)
    compaction = Compaction.of(net, features[_some_of(len(features))])
    body = compaction.module.cpu()
    interface = interface_of(preprocessing, net.classes, getattr(net, "provenance", None))
    small = Deployed(body, preprocessing.columns, bool(net.classes)).eval()
    expected = _outputs(net, features)
    expected = expected.float().softmax(1) if net.classes else expected
    rows = rows_of_features(features, interface, preprocessing)
    return _Plan(net, small, interface, features, rows, expected.numpy(), compaction.left, body)


def _device(net: nn.Module) -> torch.device:
    return next((each.device for each in net.parameters()), torch.device("cpu"))


def _some_of(rows: int) -> Tensor:
    """Places of rows on which a network is cut: from all over the data, and few, for it runs them at once."""
    return torch.linspace(0, rows - 1, min(rows, _ROWS_TO_CUT_ON)).round().long()


def _outputs(net: nn.Module, rows: Tensor) -> Tensor:
    """The outputs of a network in evaluation mode; it is left as it was.

    Raises:
        UsageError: it gives no tensor.
    """
    device, parts = _device(net), []
    with torch.no_grad(), without_side_effects(net):
        for part in torch.split(rows, ROWS_AT_A_TIME):
            outputs = net(part.to(device))
            if not isinstance(outputs, Tensor):
                what = f"the network gives a {type(outputs).__name__}"
                raise UsageError(f"export: {what}; wrap it in a module that gives one tensor")
            parts.append(outputs.cpu())
    return torch.cat(parts)


def _program(plan: _Plan) -> ExportedProgram:
    """The module to export as a program of any number of rows, without notes on where its code is.

    Raises:
        UsageError: PyTorch cannot export it.
    """
    rows = plan.rows[: max(2, min(16, len(plan.rows)))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own parts
            program = torch.export.export(
                plan.small, (rows,), dynamic_shapes=({0: Dim("rows", min=1)},), strict=False
            )
    except Exception as error:  # a forward of the user may raise any exception
        what = f"PyTorch cannot export it for any number of rows ({describe(error)})"
        raise UsageError(f"export: {type(plan.net).__name__}: {what}; change its forward") from error
    for node in program.graph.nodes:
        for note in _NOTES_OF_NODES:
            node.meta.pop(note, None)
    program._example_inputs = None  # they would be pickled, and are the user's data
    program._guards_code = []
    return program


def _counted(net: nn.Module, rows: Tensor) -> tuple[int, int]:
    """Parameters, and multiply-adds of one row."""
    total = count(net, rows[:1].to(_device(net)))["multiply_adds"]["total"]
    return sum(each.numel() for each in net.parameters()), int(total)


def _write(
    path: Path, format_: Format, plan: _Plan, program: ExportedProgram, card: Card
) -> tuple[tuple[Path, ...], float]:
    """Write all files under temporary names, check the network in them, and put them in place.

    Returns:
        The files, and the largest difference of outputs.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as name:
            draft = Path(name) / path.name
            try:
                beside = format_.write(draft, program, plan.rows[:2], plan.interface.output, card.texts())
            except (HebbevoError, OSError):
                raise
            except Exception as error:  # an operator that the format does not have
                what = f"cannot be written as {path.suffix} ({describe(error)})"
                raise UsageError(f"export: {type(plan.net).__name__} {what}; try another format") from error
            difference = _difference(ExportedNetwork(*format_.load(draft)), plan)
            texts = {**beside, ".md": card.markdown()}
            for suffix, text in texts.items():
                draft.with_suffix(suffix).write_text(text, encoding="utf-8")
            for suffix in (*texts, path.suffix):  # the network last
                draft.with_suffix(suffix).replace(path.with_suffix(suffix))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: cannot be written: {reason}; choose another folder") from error
    return (path, *(path.with_suffix(suffix) for suffix in texts)), difference


def _difference(exported: ExportedNetwork, plan: _Plan) -> float:
    """The largest difference of outputs to those of the network, as a share of their spread.

    Raises:
        NotEqual: it is too large.
    """
    found, expected = exported.outputs(plan.rows.numpy()), plan.expected
    if found.shape != expected.shape:
        raise NotEqual(f"export: outputs have shape {found.shape}, not {expected.shape}; please report this")
    finite = np.isfinite(expected)
    if (np.isfinite(found) != finite).any():
        raise NotEqual("export: outputs on the example are missing in the file; try another format")
    one, other = found[finite].astype(np.float64), expected[finite].astype(np.float64)
    if not other.size:
        return 0.0
    precision = min(
        float(np.finfo(each.dtype).eps) if each.dtype.kind == "f" else 1.0 for each in (found, expected)
    )
    spread = float(other.max() - other.min()) + 10 * precision / _TOLERANCE * float(np.abs(other).max())
    share = float(np.abs(one - other).max()) / (spread or 1.0)
    if not share <= _TOLERANCE:
        raise NotEqual(
            f"export: outputs on the example differ by {share:.2g} of their spread; try another format"
        )
    return share


def _refuse_others_files(path: Path) -> None:
    """Refuse to replace a file beside the network that is none of hebbevo's, as a module of the user.

    Raises:
        UsageError: there is one.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; write the name of a file")
    beside = [".md", ".py"] if path.suffix.lower() == ".safetensors" else [".md"]
    for other in map(path.with_suffix, beside):
        if other.exists() and MADE_BY not in other.read_text(encoding="utf-8", errors="replace")[:1000]:
            raise UsageError(f"{other}: is another file, which export would replace; write another -o")


def _repeated(rows: Tensor, number: int) -> Tensor:
    """The first rows, from the begin again where there are too few."""
    return rows[torch.arange(number) % len(rows)]
