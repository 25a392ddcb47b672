"""A forward pass on values that labels everything computed from layers, batch norms and plastic units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from hebbevo.nn.competition import Competition
from hebbevo.nn.connections import PlasticConnections
from hebbevo.nn.forward_pass.following import (
    WITHOUT_VALUES,
    Follower,
    FunctionCall,
    Item,
    NotFollowed,
    module_hooks,
    tensors_in,
    value_decides,
)
from hebbevo.nn.forward_pass.side_effects import tensors_held_by
from hebbevo.nn.liveness import patterns
from hebbevo.nn.similarity_matching import SimilarityMatching, SimilarityMatchingNetwork
from hebbevo.nn.unit_labels.codes import MIXED, ZERO, numbered, unit_of_column
from hebbevo.nn.unit_labels.labels import (
    Arrival,
    Label,
    Labels,
    PathProperties,
    Read,
    Source,
    SourceKind,
    memory_of,
)
from hebbevo.nn.unit_labels.rules import LabelledCall, labels_of_results
from hebbevo.nn.units import PlasticUnits

LAYER_FUNCTIONS: dict[str, tuple[type[nn.Module], int]] = {
    # the class whose forward calls it, and the axis of its units
    "linear": (nn.Linear, -1),
    "conv1d": (nn.Conv1d, -2),
    "conv2d": (nn.Conv2d, -3),
    "conv3d": (nn.Conv3d, -4),
}
"""Functions of the layers that are followed."""

CIRCUITS = SimilarityMatching | SimilarityMatchingNetwork
"""Modules that settle: what happens in them is not followed."""


class LabelledRun(Follower):
    """Runs a network on values and finds where the units of each source are read.

    Attributes:
        sources: in the order of their calls.
        arrivals: what each layer, norm and plastic units were given, in the same order; then the outputs.
        used: identities of all tensors that functions were given, except for the weights that a layer gives
            to its own function.

    Args:
        net: the network.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.sources: list[Source] = []
        self.arrivals: list[Arrival] = []
        self.used: set[int] = set()
        self._net = net
        self._modules = dict(net.named_modules())
        self._own_weights = {
            name: (module._parameters.get("weight"), module._parameters.get("bias"))
            for name, module in self._modules.items()
        }
        self._running = [""]  # names of the modules that are running, outermost first
        self._closed_running = 0  # modules that are running and label their own output
        self._input_of_units: Tensor | None = None
        self._labels: dict[int, dict[Source, Label]] = {}
        # constants, and tensors that the network holds: any other with a gradient function came unseen
        self._known = {id(tensor): tensor for tensor in tensors_held_by(net)}
        # sources that came into memory in place, by its address: earlier views have no label for them
        self._written: dict[int, set[Source]] = {}

    def run(self, inputs: Sequence[Tensor]) -> None:
        """Run the network on ``inputs``, which it may change in place.

        Raises:
            NotFollowed: its path depends on values, or part of it cannot be looked into.
        """
        for tensor in inputs:
            self.follow(tensor)
        with module_hooks(self._net, self._enter, self._leave), self:
            outputs = self._net(*inputs)
        self._note_use([outputs], {})
        # the network may use later what it keeps in an attribute
        kept = (tensor for tensor in tensors_held_by(self._net) if self.is_followed(tensor))
        for tensor in (*tensors_in(outputs), *kept):
            self.check([tensor])
            self._record_read(tensor)

    def is_followed(self, value: object) -> bool:
        """Whether ``value`` is a tensor that was computed from the inputs, or a view of one."""
        if id(value) in self._followed:
            return True
        return bool(self._written) and isinstance(value, Tensor) and memory_of(value) in self._written

    def check(self, operands: list[Tensor]) -> None:
        """Check that no tensor was computed by functions that were not intercepted.

        Raises:
            NotFollowed: one was, as under a transform of `torch.func`.
        """
        for tensor in operands:
            if id(tensor) in self._known or id(tensor) in self._followed:
                continue
            made_by = tensor.grad_fn
            if made_by is not None or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
                what = made_by.name() if made_by is not None else "a transform of torch.func"
                where = self._running[-1] or type(self._net).__name__
                raise NotFollowed(f"{what} in {where} cannot be looked into")

    def run_constant(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str
    ) -> Any:
        """Run a function whose result is not followed, and note the tensors that it uses."""
        result = func(*args, **kwargs)
        found = [*tensors_in(result)]
        self._known |= {id(tensor): tensor for tensor in found}
        if found and name not in WITHOUT_VALUES:
            self._note_use(args, kwargs)
        return result

    def run_followed(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        name: str,
        in_place: bool,
    ) -> Any:
        """Run a function, and label its results."""
        if self._closed_running:
            return self.run_constant(func, args, kwargs, name)
        call = FunctionCall(self, func, args, kwargs)
        rule = patterns.RULES.get(func) or patterns.RULES.get(name, patterns.unknown)
        if rule is patterns.control_flow or (rule is patterns.where and len(call.values) == 1):
            raise value_decides(name)
        if rule is patterns.item:
            return Item(func(*args, **kwargs))
        # before it runs, since a function in place changes its arguments
        layer = self._layer(call, name) if name in LAYER_FUNCTIONS else None
        result = func(*args, **kwargs)
        outputs = [args[0]] if rule is patterns.assigned else [*tensors_in(result)]
        if not outputs:
            return result
        if layer:
            source, axis = layer
            self._begin_source(outputs[0], source, axis, {})
            return result
        labelled_call = LabelledCall(call, name, in_place, outputs, self.labels_of)
        of_norm = self._labels_of_norm(labelled_call) if func is F.batch_norm else None
        if of_norm is None:
            self._note_use(args, kwargs)
            results = labels_of_results(rule, labelled_call)
        else:
            results = of_norm
        writes = in_place or rule is patterns.assigned or "out" in kwargs
        for number, output in enumerate(outputs):
            labels = {}
            for source, each in results.items():
                label = each[min(number, len(each) - 1)]
                labels[source] = label if label.codes.shape == output.shape else Label.mixed(output)
            self._set_labels(output, labels, writes, labelled_call.code_left_behind)
        return result

    def labels_of(self, tensor: Tensor) -> Labels:
        """The labels of ``tensor``."""
        labels = self._labels.get(id(tensor), {})
        if self._written and (lacking := self._written.get(memory_of(tensor), set()) - labels.keys()):
            return labels | {source: Label.mixed(tensor) for source in lacking}
        return labels

    def _note_use(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if isinstance(self._modules[self._running[-1]], PlasticConnections | CIRCUITS):
            return  # a mask uses the weights of its own layers, a circuit its own
        self.used.update(map(id, tensors_in(args)), map(id, tensors_in(kwargs)))

    # modules

    def _enter(self, name: str, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._running.append(name)
        if not isinstance(module, PlasticUnits | CIRCUITS):
            return
        self._closed_running += 1
        if self._closed_running > 1:
            return
        with torch._C.DisableTorchFunction():  # what is done here is no part of the forward pass
            given = [*tensors_in(args), *tensors_in(kwargs)]
            self.check(given)
            if isinstance(module, CIRCUITS):
                first, layer = next(iter(_layers(name, module).items()))
                for tensor in given:
                    self._record_read_by_circuit(first, layer, tensor)
                return
            self._input_of_units = given[0] if given else None
            # units work on their first argument; others are read in an unknown way
            for tensor in given[:1]:
                self._record_read_by_units(name, module, tensor)
            for tensor in given[1:]:
                self._record_read(tensor)

    def _leave(self, name: str, module: nn.Module, args: object, kwargs: object, output: object) -> None:
        self._running.pop()
        if isinstance(module, Competition) and isinstance(output, Tensor):
            self._label_competition(output, [*tensors_in(args), *tensors_in(kwargs)])
        if not isinstance(module, PlasticUnits | CIRCUITS):
            return
        self._closed_running -= 1
        if self._closed_running or not isinstance(output, Tensor):
            return
        with torch._C.DisableTorchFunction():
            if isinstance(module, CIRCUITS):
                layers = _layers(name, module)
                sources = [Source(SourceKind.CIRCUIT, each, layer.units) for each, layer in layers.items()]
                self.sources += sources[:-1]  # nothing outside reads these
                self._begin_source(output, sources[-1], [*layers.values()][-1].unit_axis, {})
                return
            before = {} if self._input_of_units is None else self.labels_of(self._input_of_units)
            # labels of layers and norms end here; those of other units go on, through these units
            earlier_units = {
                source: Label(label.codes.clone(), replace(label.path, keeps_mean=False))
                if label.codes.shape == output.shape
                else Label.mixed(output)
                for source, label in before.items()
                if source.kind is SourceKind.UNITS
            }
            dim = module.dim % output.dim() - output.dim() if output.dim() else -1
            size = output.shape[dim] if output.dim() else 0
            self._begin_source(output, Source(SourceKind.UNITS, name, size), dim, earlier_units)

    def _label_competition(self, output: Tensor, given: Sequence[Tensor]) -> None:
        """Label what units that compete hand on: each element is one of its unit, though others change it."""
        with torch._C.DisableTorchFunction():
            labels = {
                source: Label(label.codes.clone(), replace(label.path, keeps_mean=False, keeps_zero=False))
                for source, label in self.labels_of(given[0]).items()
                if label.codes.shape == output.shape
            }
            self._labels[id(output)] = {**self.labels_of(output), **labels}

    def _begin_source(self, output: Tensor, source: Source, axis: int, others: Labels) -> None:
        """Label the output of a layer or of plastic units, whose units lie along ``axis``."""
        self.sources.append(source)
        self.follow(output)
        self._labels[id(output)] = {**others, source: Label(numbered(output, axis), PathProperties())}

    def _layer(self, call: FunctionCall, name: str) -> tuple[Source, int] | None:
        """The source that begins here and the axis of its units, if the running module is this layer.

        Labels of its input end here: each becomes a read.
        """
        kind, axis = LAYER_FUNCTIONS[name]
        layer = self._running[-1]
        module = self._modules[layer]
        own_weight, own_bias = self._own_weights[layer]
        given = call.by_name("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        x, weight, bias = given["input"], given["weight"], given.get("bias")
        # a layer of the user's own is one by what it does, not by its class
        is_layer = (weight is own_weight and weight.dim() > 1) or (
            isinstance(module, kind) and weight.shape == module.weight.shape
        )
        if not is_layer or call.any_followed(weight, bias):
            return None
        mask = self._modules.get(layer.rpartition(".")[0]) if layer.endswith("module") else None
        is_own = (weight is own_weight or isinstance(mask, PlasticConnections)) and bias is own_bias
        groups = int(given.get("groups", 1))
        held: dict[Source, tuple[int, ...] | None] = {}
        for source, label in self.labels_of(x).items():
            columns, unshared = _units_along(label, axis)
            held[source] = columns
            # a label without any unit left, as after zeroing all, is no read
            if columns is None or any(unit >= 0 for unit in columns):
                # a copy of the path, which later functions in place may change
                path = replace(label.path)
                source.reads.append(
                    Read(path, layer, columns, groups, unshared, is_own, has_bias=bias is not None)
                )
        self.arrivals.append(Arrival(layer, held, groups))
        if not is_own:
            self._note_use(call.args, call.kwargs)
        return Source(SourceKind.LAYER, layer, len(weight), is_own), axis

    def _labels_of_norm(self, call: LabelledCall) -> dict[Source, list[Label]] | None:
        """Labels behind a batch norm that a module calls; the norm is a source itself."""
        name = self._running[-1]
        given = call.call.by_name("input", "running_mean", "running_var", "weight", "bias")
        weights = given.get("weight"), given.get("bias")
        if not isinstance(self._modules[name], _BatchNorm) or call.call.any_followed(*weights):
            return None
        is_own = all(one is own for one, own in zip(weights, self._own_weights[name], strict=True))
        if not is_own:
            self._note_use(call.call.args, call.call.kwargs)
        (output,) = call.outputs
        norm = Source(SourceKind.NORM, name, output.shape[1], is_own)
        self.sources.append(norm)
        labels = {}
        held = {}
        for source in call.sources:
            label = call.merged(source)
            held[source] = _units_along(label, 1)[0]
            label.path.keeps_mean = label.path.keeps_zero = False
            label.path.norms |= {norm}
            labels[source] = [label]
        self.arrivals.append(Arrival(name, held))
        return labels | {norm: [Label(numbered(output, 1), PathProperties())]}

    # labels and reads

    def _set_labels(self, tensor: Tensor, labels: Labels, writes: bool, code_left_behind: int) -> None:
        """Label a result; where it is an argument that was changed in place, its views must follow."""
        before = self._labels.get(id(tensor))
        self.follow(tensor)
        if before is None:
            self._labels[id(tensor)] = dict(labels)
            new = set(labels)
        else:
            new = labels.keys() - before.keys()
            for source, label in before.items():
                now = labels.get(source)
                if now is None:  # overwritten with something else
                    label.codes.fill_(code_left_behind)
                elif now is not label:
                    # in the memory of the codes, which views share
                    if now.codes.shape != label.codes.shape:
                        label.codes = now.codes
                    elif now.codes is not label.codes:
                        label.codes.copy_(now.codes)
                    label.path.merge(now.path)
            before |= {source: labels[source] for source in new}
        if new and writes:
            self._written.setdefault(memory_of(tensor), set()).update(new)

    def _record_read(self, tensor: Tensor) -> None:
        """Units in ``tensor`` are read by something else than a layer."""
        for source, label in self.labels_of(tensor).items():
            if bool(((label.codes > ZERO) | (label.codes == MIXED)).any()):
                source.reads.append(Read(replace(label.path)))
                self.arrivals.append(Arrival("", {source: None}))

    def _record_read_by_circuit(self, name: str, module: SimilarityMatching, tensor: Tensor) -> None:
        """Units end in a circuit, whose connections from each are its own."""
        for source, label in self.labels_of(tensor).items():
            is_plain = tensor.shape[1:] == module.input_shape
            columns, unshared = _units_along(label, module.unit_axis) if is_plain else (None, False)
            if columns is None or any(unit >= 0 for unit in columns):
                path = replace(label.path)
                source.reads.append(Read(path, name, columns, unshared=unshared, own_weights=True))
                self.arrivals.append(Arrival("", {source: None}))

    def _record_read_by_units(self, name: str, units: PlasticUnits, tensor: Tensor) -> None:
        """Units of layers and norms in ``tensor`` become plastic units."""
        labels = self.labels_of(tensor)
        held = {source: _units_along(label, units.dim)[0] for source, label in labels.items()}
        self.arrivals.append(Arrival(name, held))
        for source, label in labels.items():
            if source.kind is not SourceKind.UNITS:
                same = source.size == units.num_neurons and torch.equal(
                    label.codes, numbered(tensor, units.dim)
                )
                source.reads.append(Read(replace(label.path), units=name if same else ""))


def _layers(name: str, circuit: CIRCUITS) -> dict[str, SimilarityMatching]:
    """The layers that settle together in a circuit of this name, by their dotted names."""
    if isinstance(circuit, SimilarityMatching):
        return {name: circuit}
    return {
        f"{name}.{each}".removeprefix("."): layer
        for each, layer in circuit.named_modules()
        if isinstance(layer, SimilarityMatching)
    }


def _units_along(label: Label, axis: int) -> tuple[tuple[int, ...] | None, bool]:
    """See `unit_of_column`, for columns along ``axis``."""
    return unit_of_column(label.codes.movedim(axis, -1).reshape(-1, label.codes.shape[axis]))
