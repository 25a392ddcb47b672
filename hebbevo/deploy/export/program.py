"""The steps of a network as plain data: written as Python code, and run without any code of a file."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from hebbevo.errors import UsageError

_OPERATORS = {
    name: getattr(operator, name)
    for name in ("getitem", "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow")
}
_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "floordiv": "//",
    "truediv": "/",
    "mod": "%",
    "ge": ">=",
    "le": "<=",
    "gt": ">",
    "lt": "<",
    "eq": "==",
    "__and__": "&",
    "__or__": "|",
    "bitwise_and": "&",
    "bitwise_or": "|",
}
_METHODS = {
    "flatten.using_ints": "flatten",
    "floor.default": "floor",
    "index_select.default": "index_select",
    "mean.dim": "mean",
    "permute.default": "permute",
    "reshape.default": "reshape",
    "softmax.int": "softmax",
    "to.dtype": "to",
    "transpose.int": "transpose",
    "unsqueeze.default": "unsqueeze",
    "view.default": "view",
}
_FUNCTIONS = {
    "adaptive_avg_pool2d.default": "F.adaptive_avg_pool2d",
    "avg_pool2d.default": "F.avg_pool2d",
    "batch_norm.default": "torch.batch_norm",
    "cat.default": "torch.cat",
    "conv1d.default": "torch.conv1d",
    "conv2d.default": "torch.conv2d",
    "linear.default": "F.linear",
    "max_pool2d.default": "F.max_pool2d",
    "relu.default": "F.relu",
    "where.ScalarOther": "torch.where",
    "where.self": "torch.where",
}
_REFUSED = {"from_file"}  # reads a file that its arguments name
_ABOUT_PLACE = {"device", "layout", "pin_memory"}
_OWN_NAMES = {"rows", "torch", "F", "aten", "self"}


@dataclass(frozen=True)
class Program:
    """What a network computes, step by step, in operators of PyTorch (``torch.ops.aten``).

    Attributes:
        steps: for each its name, its operator, its arguments and its keyword arguments. A reference to an
            earlier step, to ``rows`` or to a tensor is a mapping, as ``{"step": "relu"}``.
        result: name of the last step.
        parameters: names of those tensors that can be trained.
    """

    steps: Sequence[Sequence[Any]]
    result: str
    parameters: Sequence[str]

    @cached_property
    def _functions(self) -> list[Callable[..., Any]]:
        return [_operator(name) for _, name, _, _ in self.steps]

    @classmethod
    def of(cls, exported: ExportedProgram) -> tuple[Self, dict[str, Tensor]]:
        """Read the steps of an exported program of one input and one output, and its tensors by name.

        Raises:
            UsageError: it has other parts than operators of PyTorch.
        """
        signature = exported.graph_signature
        stored = {**exported.state_dict, **exported.constants}
        sources = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        tensors: dict[str, Tensor] = {}
        references: dict[fx.Node, dict[str, str]] = {}
        parameters = []
        graph = exported.graph_module.graph
        used = _used(graph)
        steps: list[list[Any]] = []
        for node in graph.nodes:
            if node.op == "placeholder":
                if node.name not in sources:
                    references[node] = {"input": "rows"}
                elif node in used:
                    name = _identifier(sources[node.name], tensors)
                    tensors[name] = stored[sources[node.name]].detach().clone().contiguous()
                    references[node] = {"tensor": name}
                    if node.name in signature.inputs_to_parameters:
                        parameters.append(name)
            elif node.op == "call_function" and node in used:
                name = f"{node.name}_" if node.name in _OWN_NAMES else node.name
                references[node] = {"step": name}
                kwargs = {key: value for key, value in node.kwargs.items() if key not in _ABOUT_PLACE}
                plain = _plain([list(node.args), kwargs], references)
                steps.append([name, _operator_name(node), *plain])
            elif node.op not in ("output", "call_function"):
                raise UsageError(
                    f"export: {node.name} is no operator of PyTorch; write .pt2 or .onnx instead"
                )
        [result] = graph.output_node().args[0]
        return cls(steps, references[result]["step"], parameters), tensors

    def __call__(self, tensors: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """Run the steps."""
        values: dict[str, Any] = {}
        context = {"input": {"rows": rows}, "tensor": tensors, "step": values}
        for (name, _, args, kwargs), function in zip(self.steps, self._functions, strict=True):
            values[name] = function(*_value(args, context), **_value(kwargs, context))
        result: Tensor = values[self.result]
        return result

    def to_json(self) -> str:
        """The steps as a text."""
        return json.dumps([self.steps, self.result, self.parameters], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text that `to_json` gives.

        Raises:
            UsageError: a step is no operator of PyTorch.
        """
        program = cls(*json.loads(text))
        _ = program._functions  # checks them
        return program

    def code(self) -> Iterator[str]:
        """The lines of Python code that compute the result, with ``return`` last."""
        for name, operator_name, args, kwargs in self.steps:
            yield f"{name} = {_call(operator_name, args, kwargs)}"
        yield f"return {self.result}"


def _used(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output needs, without assertions; operators in place count as needed."""
    wanted = {graph.output_node()}
    for node in reversed(graph.nodes):
        changes = node.op == "call_function" and _changes_its_input(node)
        if node in wanted or changes:
            wanted |= {node, *node.all_input_nodes}
    return wanted


def _changes_its_input(node: fx.Node) -> bool:
    name = getattr(getattr(node.target, "_schema", None), "name", "")
    return name.endswith("_") and not name.endswith("__")


def _identifier(name: str, taken: Mapping[str, object]) -> str:
    """A name for a tensor that is an attribute of a module."""
    found = "".join(each if each.isalnum() or each == "_" else "_" for each in name.removeprefix("body."))
    if not found or found[0].isdigit():
        found = f"layer_{found}"
    while found in taken or hasattr(torch.nn.Module, found) or found == "training":
        found += "_"
    return found


def _operator_name(node: fx.Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return f"aten.{str(target).removeprefix('aten.')}"
    name = getattr(target, "__name__", str(target))
    if _OPERATORS.get(name) is target:
        return name
    raise UsageError(f"export: the network calls {name}, which .safetensors cannot hold; write .pt2 or .onnx")


def _operator(name: str) -> Any:
    if name in _OPERATORS:
        return _OPERATORS[name]
    space, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    found = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if space != "aten" or packet in _REFUSED or not isinstance(found, torch._ops.OpOverload):
        raise UsageError(
            f"its network has the step {name!r}, which is no operator of PyTorch; export it again"
        )
    return found


def _plain(value: Any, references: Mapping[fx.Node, dict[str, str]]) -> Any:
    """An argument as JSON has it."""
    if isinstance(value, fx.Node):
        return references[value]
    if isinstance(value, list | tuple):
        return [_plain(each, references) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each, references) for key, each in value.items()}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.memory_format):
        return {"memory_format": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    what = f"an argument of type {type(value).__name__}, which .safetensors cannot hold"
    raise UsageError(f"export: the network has {what}; write .pt2 or .onnx")


def _value(plain: Any, context: Mapping[str, Mapping[str, Any]]) -> Any:
    """The argument that `_plain` wrote."""
    if isinstance(plain, list):
        return [_value(each, context) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        [(kind, name)] = plain.items()
        if kind in context and isinstance(name, str):
            return context[kind][name]
        if kind in ("dtype", "memory_format") and isinstance(name, str):
            found = getattr(torch, name)
            if isinstance(found, torch.dtype | torch.memory_format):
                return found
    return {key: _value(each, context) for key, each in plain.items()}


def _call(operator_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A step as Python code."""
    name = operator_name.removeprefix("aten.")
    given = [_code(each) for each in args]
    bare = name.partition(".")[0]
    if name == "sym_size.int":
        return f"{given[0]}.shape[{given[1]}]"
    if name == "getitem":
        return f"{given[0]}[{given[1]}]"
    if bare in _SIGNS and len(given) == 2 and not kwargs:
        return f"{given[0]} {_SIGNS[bare]} {given[1]}"
    given_more = [
        f"{key}={_code(each)}" for key, each in kwargs.items() if key != "dtype" or each is not None
    ]
    if name in _METHODS:
        return f"{given[0]}.{_METHODS[name]}({', '.join([*given[1:], *given_more])})"
    if name in _FUNCTIONS:
        return f"{_FUNCTIONS[name]}({', '.join([*given, *given_more])})"
    return f"{operator_name}({', '.join([*given, *given_more])})"


def _code(plain: Any) -> str:
    """An argument as Python code."""
    if isinstance(plain, list):
        return f"[{', '.join(map(_code, plain))}]"
    if isinstance(plain, dict):
        [(kind, name)] = plain.items()
        if kind == "tensor":
            return f"self.{name}"
        return name if kind in ("input", "step") else f"torch.{name}"
    if isinstance(plain, float) and not math.isfinite(plain):
        return f'float("{plain}")'
    return repr(plain)
