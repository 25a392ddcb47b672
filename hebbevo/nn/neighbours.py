"""Who feeds a plastic module and who listens to it: names found by following the model's graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn

from hebbevo.errors import UsageError
from hebbevo.nn.plastic import Neighbourhood, Plastic, plastic_modules

# modules that neither mix nor reorder neurons
_TRANSPARENT = (nn.Identity, nn.Dropout, nn.AlphaDropout)


@dataclass(frozen=True)
class Neighbours:
    """Dotted names of the linear layers around a plastic module; ``feeder`` is ``None`` at the inputs."""

    feeder: str | None
    listener: str

    def around(
        self, model: nn.Module, moments: dict[str, tuple[Tensor, ...]], loss: Tensor | None
    ) -> Neighbourhood:
        """Collect the tensors of ``model``; ``moments`` holds optimiser state by parameter name."""
        listener = cast(nn.Linear, model.get_submodule(self.listener))
        feeder = cast(nn.Linear, model.get_submodule(self.feeder)) if self.feeder else None
        incoming = [f"{self.feeder}.{kind}" for kind in ("weight", "bias")] if feeder else []
        return Neighbourhood(
            out_weight=listener.weight,
            out_bias=listener.bias,
            in_weight=feeder.weight if feeder else None,
            in_bias=feeder.bias if feeder else None,
            loss=loss,
            in_moments=tuple(moment for name in incoming for moment in moments.get(name, ())),
            out_moments=moments.get(f"{self.listener}.weight", ()),
        )


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Plastic) or super().is_leaf_module(m, module_qualified_name)


def find_neighbours(model: nn.Module) -> dict[str, Neighbours]:
    """Find the linear layers before and behind every plastic module of ``model``.

    Raises:
        UsageError: the model cannot be traced, or a plastic module does not stand between linear layers.
    """
    try:
        graph = _Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{type(model).__name__}: its forward cannot be followed ({reason}); "
            "keep data-dependent control flow out of forward"
        ) from error
    plastic = plastic_modules(model)
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    found = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in plastic:
            around = Neighbours(_before(model, node), _behind(model, node))
            for name in (node.target, around.feeder, around.listener):
                if calls[name] > 1:
                    raise UsageError(f"{name}: is used twice in forward; give each layer its own module")
            found[node.target] = around
    if unused := plastic.keys() - found.keys():
        raise UsageError(f"{min(unused)}: is never used in forward; remove it")
    return found


def connect(model: nn.Module, neighbours: dict[str, Neighbours], total_steps: int) -> None:
    """Let every plastic module of ``model`` take its first look; ``total_steps`` is 0 where not known."""
    for name, module in plastic_modules(model).items():
        module.connect(neighbours[name].around(model, {}, None), total_steps)


def _module(model: nn.Module, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def _before(model: nn.Module, node: fx.Node) -> str | None:
    source = node.all_input_nodes[0]
    while True:
        module = _module(model, source)
        if source.op == "placeholder" or _flattens(source, module):
            return None
        if len(source.users) > 1:
            break
        if isinstance(module, nn.Linear):
            return str(source.target)
        if not isinstance(module, _TRANSPARENT):
            break
        source = source.all_input_nodes[0]
    raise UsageError(f"{node.target}: no linear layer feeds it alone; put it behind an nn.Linear of its own")


def _behind(model: nn.Module, node: fx.Node) -> str:
    while len(node.users) == 1:
        (user,) = node.users
        module = _module(model, user)
        if isinstance(module, nn.Linear):
            return str(user.target)
        if not isinstance(module, _TRANSPARENT):
            break
        node = user
    raise UsageError(f"{node.target}: no single linear layer listens to it; put an nn.Linear behind it")


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    return isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten")
