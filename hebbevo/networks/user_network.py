"""Networks that a function of the user builds; a space file names the function."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from torch import nn

from hebbevo import user_code
from hebbevo.errors import UsageError, UserCodeError
from hebbevo.messages import listed
from hebbevo.networks.seeding import seeded
from hebbevo.networks.settings import Settings
from hebbevo.nn import plastic_modules
from hebbevo.space.knobs import Value


@dataclass(frozen=True)
class UserNetwork:
    """Networks that a function of the user builds.

    Attributes:
        module: ``package.module:name`` of a function or class that returns an ``nn.Module``. Its arguments
            are genes and settings by name; it may also take ``input_shape`` and ``num_classes``.
        shape: shape of one row of the data.
        classes: number of classes, or 1 for a regression.
    """

    module: str
    shape: tuple[int, ...]
    classes: int

    def build(self, settings: Settings, seed: int) -> nn.Module:
        """Call the function with these settings, then set the knobs of the plastic modules in the network.

        A knob ``name`` is set in every module that has it, unless the function has an argument of that name;
        ``module.name`` sets it in one module.

        Args:
            settings: settings and genes by name.
            seed: seeds PyTorch's generator during the call; the generator keeps its state.

        Raises:
            UserCodeError: the function raises, or does not return an ``nn.Module``.
            UsageError: the function cannot be imported or takes other arguments, or a value is outside the
                range of its knob.
        """
        function, taken = user_code.resolve(self.module), self._arguments(settings)
        with seeded(seed), user_code.calling(self.module):
            net = function(**taken)
        if not isinstance(net, nn.Module):
            raise UserCodeError(f"{self.module}: gave {type(net).__name__}; return an nn.Module")
        with suppress(RuntimeError):  # old `torch.nn.utils.weight_norm` cannot be copied
            net = copy.deepcopy(net)  # the function may give the same modules every time
        if any(map(nn.parameter.is_lazy, chain(net.parameters(), net.buffers()))):
            what = "a layer of its network has no shape yet; call the network once before you return it"
            raise UserCodeError(f"{self.module}: {what}")
        of_function = arguments(self.module)
        for name, module in plastic_modules(net).items():
            knobs: dict[str, Value] = {}
            for knob in module.knobs:
                if knob in settings and knob not in of_function:
                    knobs[knob] = settings[knob]
                if f"{name}.{knob}" in settings:
                    knobs[knob] = settings[f"{name}.{knob}"]
            module.configure(**knobs)
        return net

    def prunes(self, settings: Settings) -> bool:
        """Whether a module of the network may prune: yes, as long as nothing else is known."""
        return True

    @property
    def has_user_code(self) -> bool:
        """Whether code of the user builds it: always."""
        return True

    def has_argument(self, name: str) -> bool:
        """Whether the function has an argument of this name, so that it is no knob."""
        return name in arguments(self.module)

    def knobs(self, net: nn.Module) -> set[str]:
        """Find the names that set a knob of ``net``, a network that this function has built.

        Returns:
            Names of knobs, for all modules that have them, and dotted names ``module.knob``, for one.
        """
        names = {(name, knob) for name, module in plastic_modules(net).items() for knob in module.knobs}
        return {knob for _, knob in names if not self.has_argument(knob)} | {".".join(each) for each in names}

    def _arguments(self, settings: Settings) -> dict[str, object]:
        """The arguments of one call, by name."""
        parameters = arguments(self.module)
        offered = {"input_shape": self.shape, "num_classes": self.classes, **settings}
        missing = [name for name, required in parameters.items() if required and name not in offered]
        if missing:
            what = f"wants {listed(missing)}, which no gene or setting gives"
            raise UsageError(f"{self.module}: {what}; write it into genome or network.settings")
        # copies, as the function may change a list that it is given
        return {name: copy.deepcopy(value) for name, value in offered.items() if name in parameters}


def arguments(module: str) -> Mapping[str, bool]:
    """Find the arguments of a function: by name, whether each is required.

    Args:
        module: the function as ``package.module:name``.

    Raises:
        UsageError: the function cannot be imported, or its signature cannot be read.
    """
    try:
        parameters = inspect.signature(user_code.resolve(module)).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{module}: its arguments are not known ({error}); wrap it in a function") from error
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {each.name: each.default is each.empty for each in parameters if each.kind in by_name}
