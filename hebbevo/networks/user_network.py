"""The user's own network: a function that a space file names."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from torch import nn

from hebbevo import user_code
from hebbevo.errors import UsageError
from hebbevo.networks.architecture import Values, seeded
from hebbevo.nn import plastic_modules
from hebbevo.space.knobs import Value, listed


@dataclass(frozen=True)
class UserNetwork:
    """Networks that the user's function builds.

    Attributes:
        module: ``package.module:name`` of a function, or of a class, that takes genes as named arguments and
            gives an ``nn.Module``. It may also ask for ``input_shape`` and ``num_classes``.
        shape: of one row of the data.
        classes: number of classes.
    """

    module: str
    shape: tuple[int, ...]
    classes: int

    def build(self, given: Values, seed: int) -> nn.Module:
        """Build the network of these genes and settings, and set the knobs of the plastic modules in it.

        ``seed`` alone decides what PyTorch's generator draws meanwhile; it stays as it was.

        Raises:
            UsageError: the function cannot be imported, wants other arguments, raises, or gives something
                else; or a knob cannot have such a value.
        """
        function, taken = user_code.resolve(self.module), self._arguments(given)
        with seeded(seed), user_code.calling(self.module):
            net = function(**taken)
        if not isinstance(net, nn.Module):
            raise UsageError(f"{self.module}: gave {type(net).__name__}; return an nn.Module")
        with suppress(RuntimeError):  # old `torch.nn.utils.weight_norm` cannot be copied
            net = copy.deepcopy(net)  # the function may give the same modules every time
        if any(map(nn.parameter.is_lazy, chain(net.parameters(), net.buffers()))):
            what = "a layer of its network has no shape yet; call the network once before you return it"
            raise UsageError(f"{self.module}: {what}")
        claimed = arguments(self.module)
        for name, module in plastic_modules(net).items():
            knobs: dict[str, Value] = {}
            for knob in module.knobs:
                if knob in given and knob not in claimed:
                    knobs[knob] = given[knob]
                if f"{name}.{knob}" in given:
                    knobs[knob] = given[f"{name}.{knob}"]
            module.configure(**knobs)
        return net

    def prunes(self, given: Values) -> bool:
        """Whether a module in it may prune: it is not known."""
        return True

    @property
    def has_user_code(self) -> bool:
        """Whether the user's code is in it: yes."""
        return True

    def has_argument(self, name: str) -> bool:
        """Whether a gene or setting of this name is an argument of the function, and no knob."""
        return name in arguments(self.module)

    def knobs(self, net: nn.Module) -> set[str]:
        """The names under which knobs of the plastic modules in ``net`` can be set."""
        names = {(name, knob) for name, module in plastic_modules(net).items() for knob in module.knobs}
        return {knob for _, knob in names if not self.has_argument(knob)} | {".".join(each) for each in names}

    def _arguments(self, given: Values) -> dict[str, object]:
        parameters = arguments(self.module)
        offered = {"input_shape": self.shape, "num_classes": self.classes, **given}
        missing = [name for name, needed in parameters.items() if needed and name not in offered]
        if missing:
            what = f"wants {listed(missing)}, which no gene or setting gives"
            raise UsageError(f"{self.module}: {what}; write it into genome or network.settings")
        return {name: value for name, value in offered.items() if name in parameters}


def arguments(module: str) -> Mapping[str, bool]:
    """The names that a function takes, and whether it must be given them.

    Raises:
        UsageError: they cannot be found out.
    """
    try:
        parameters = inspect.signature(user_code.resolve(module)).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{module}: its arguments are not known ({error}); wrap it in a function") from error
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {each.name: each.default is each.empty for each in parameters if each.kind in by_name}
