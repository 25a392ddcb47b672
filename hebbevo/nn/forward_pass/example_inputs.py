"""Example inputs for a model that comes without any: what does it take?

The first layer suggests a width or a number of channels, and common image sizes are tried in turn. A model
may also say what it takes, by an attribute ``input_shape`` without the batch axis.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hebbevo.errors import UsageError
from hebbevo.messages import describe
from hebbevo.nn.forward_pass.following import LAYERS, NotFollowed
from hebbevo.nn.forward_pass.side_effects import full_precision
from hebbevo.nn.similarity_matching import SimilarityMatching
from hebbevo.nn.units import PlasticUnits
from hebbevo.user_modules import is_of_the_user

_IMAGE_SIZES = (32, 28, 224, 64, 16, 8)
_FURTHER_SIZES = tuple(size for size in range(1, 49) if size not in _IMAGE_SIZES)
_ROWS = 2  # a loop over rows must not look like one call

Result = TypeVar("Result")


def run_on_example(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...] | None,
    run: Callable[[Sequence[Tensor]], Result],
) -> Result:
    """Return what ``run`` returns for inputs that ``model`` takes.

    Args:
        model: any module.
        example: inputs, of which two rows count where they are enough; by default suggested ones are tried.
        run: runs the model on its inputs; it may raise any exception where they do not fit.

    Raises:
        UsageError: the model cannot be followed, or takes none of the inputs that are tried.
    """
    name = type(model).__name__
    for parameter_name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise UsageError(f"{name}: {parameter_name} has no shape yet; call the model once before")
    given = example if isinstance(example, tuple) else (example,)
    if example is not None and (strange := [each for each in given if not isinstance(each, Tensor)]):
        what = type(strange[0]).__name__
        raise UsageError(f"{name}: example: {what} is not a tensor; give a tensor, or a tuple of tensors")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    reason = ""
    for inputs in _inputs_to_try(model, example):
        try:
            with full_precision(device), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about guessed inputs do not concern the user
                # copies, since forward may change its inputs in place
                return run([each.detach().clone().to(device) for each in inputs])
        except NotFollowed as error:
            remedy = "keep data-dependent control flow out of forward"
            if "looked into" in str(error):
                remedy = "write it in functions of PyTorch"
            what = f"{error}{_line_of_user(error)}"
            raise UsageError(f"{name}: its forward cannot be followed ({what}); {remedy}") from error
        except (Exception, SystemExit) as error:  # a forward pass may raise any exception
            reason = reason or describe(error)
    if example is not None:
        raise UsageError(f"{name}: does not run on the example ({reason}); give inputs that it takes")
    if not reason:
        raise UsageError(f"{name}: it is not known what it takes; give an example input")
    raise UsageError(
        f"{name}: does not run on an input that its first layer suggests ({reason}); give an example input"
    )


def suggested_inputs(model: nn.Module, rows: int) -> Iterator[tuple[Tensor, bool]]:
    """Inputs that ``model`` may take, to be tried in turn.

    Args:
        model: any module.
        rows: size of the batch axis.

    Yields:
        An input of ones, and whether one of its sizes is a guess.

    >>> next(suggested_inputs(nn.Sequential(nn.Linear(3, 2)), 1))
    (tensor([[1., 1., 1.]]), False)
    """
    first = _first_layer(model)
    like = torch.empty(0) if first is None else first.weight.detach()
    if (shape := getattr(model, "input_shape", None)) is not None:
        yield like.new_ones(rows, *shape), False
        return
    units = [module for module in model.modules() if isinstance(module, PlasticUnits)]
    if isinstance(first, SimilarityMatching):
        yield like.new_ones(rows, *first.input_shape), False
    elif isinstance(first, nn.Linear):
        yield like.new_ones(rows, first.in_features), False
        # units along another axis than the last number the places of a sequence
        places = [module.num_neurons for module in units if module.dim != -1]
        for size in dict.fromkeys((*places, *_IMAGE_SIZES)):
            yield like.new_ones(rows, size, first.in_features), True
    elif first is not None:
        for size in (*_IMAGE_SIZES, *_FURTHER_SIZES):
            yield like.new_ones(rows, first.in_channels, *(size,) * (like.dim() - 2)), True
    # the model may have no layer, or its first units may stand before it
    if units:
        width = units[0].num_neurons
        yield like.new_ones(rows, width), False
        if units[0].dim != -1:
            for axes in (1, 2):
                for size in (*_IMAGE_SIZES, *_FURTHER_SIZES):
                    yield like.new_ones(rows, width, *(size,) * axes), True


def _line_of_user(error: Exception) -> str:
    """The line of the user's code that an error comes from, as ``; net.py, line 12``; none: empty."""
    lines = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if each.filename.startswith("<") or is_of_the_user(each.filename)  # <stdin> in a terminal
    ]
    return f"; {Path(lines[-1].filename).name}, line {lines[-1].lineno}" if lines else ""


def _inputs_to_try(
    model: nn.Module, example: Tensor | tuple[Tensor, ...] | None
) -> Iterator[tuple[Tensor, ...]]:
    if example is not None:
        given = example if isinstance(example, tuple) else (example,)
        if len(rows := {len(each) if each.dim() else 0 for each in given}) == 1 and max(rows) > _ROWS:
            yield tuple(each[:_ROWS] for each in given)
        yield given
        return
    suggested = (each for each, _ in suggested_inputs(model, _ROWS))
    units = [module for module in model.modules() if isinstance(module, PlasticUnits)]
    if isinstance(_first_layer(model), nn.Linear) and any(module.dim != -1 for module in units):
        # such units are places of a sequence, so inputs with a sequence axis come first
        yield from ((each,) for each in sorted(suggested, key=Tensor.dim, reverse=True))
    else:
        yield from ((each,) for each in suggested)


def _first_layer(model: nn.Module) -> Any:
    return next((each for each in model.modules() if isinstance(each, (*LAYERS, SimilarityMatching))), None)
