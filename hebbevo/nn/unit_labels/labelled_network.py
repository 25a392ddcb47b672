"""A labelled run of a network, and the modules whose weights have another use than that of the module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor, nn

from hebbevo.nn.forward_pass.side_effects import without_side_effects
from hebbevo.nn.unit_labels.run import LabelledRun


def labelled_network(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[LabelledRun, set[str]]:
    """Run ``model`` on ``inputs``, without side effects.

    Returns:
        The run, and the names of modules whose parameters belong to another module too, or which ``forward``
        uses by themselves.

    Raises:
        NotFollowed: its path depends on values, or part of it cannot be looked into.
    """
    own = {name: [*module.parameters(recurse=False)] for name, module in model.named_modules()}
    owners = Counter(id(each) for parameters in own.values() for each in parameters)
    with without_side_effects(model, keep_requires_grad=True) as copies:
        run = LabelledRun(model)
        run.run(inputs)
        # inside, where the originals are swapped for copies
        used = {
            name
            for name, parameters in own.items()
            if any(owners[id(each)] > 1 or id(copies[id(each)]) in run.used for each in parameters)
        }
    return run, used
