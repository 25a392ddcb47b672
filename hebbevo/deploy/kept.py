"""The network of a trial with the weights that the study keeps, built from its genome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import user_code
from hebbevo.errors import StudyError
from hebbevo.outer.training_inputs import recipe_of
from hebbevo.study.ledger import Ledger, Record

if TYPE_CHECKING:
    from torch import nn

    from hebbevo.data import Split
    from hebbevo.study.kept_network import KeptNetwork
    from hebbevo.training import Recipe

_TOLERANCE = 0.02  # of the score: float rounding on another kind of machine moves a few rows


def network_of(ledger: Ledger, kept: KeptNetwork, record: Record, split: Split) -> nn.Module | None:
    """Build the network of a trial, and put its kept weights into it.

    Args:
        ledger: the study.
        kept: the weights.
        record: the trial.
        split: the data.

    Returns:
        The network in evaluation mode, on the CPU. ``None`` if it does not reach what the study has recorded
        for it: a network with state outside its tensors cannot be kept.

    Raises:
        StudyError: the weights are not those of such a network.
    """
    from hebbevo.training import Candidate
    from hebbevo.training.weights import unpack

    recipe = recipe_of(ledger)
    seed = Candidate(record.genome, kept.replicate).seed(recipe.seed)
    net = recipe.network.build(recipe.settings_for(record.genome), seed)
    try:
        unpack(kept.weights, net)
    except ValueError as error:
        what = f"the kept weights of trial {kept.trial} are not those of its network ({error})"
        raise StudyError(f"{ledger.store}: {what}; use a copy of the study") from error
    net.eval()
    reached = _score(recipe, net, split, ledger.facts.shape)
    return net if abs(reached - kept.accuracy) <= _TOLERANCE else None


def _score(recipe: Recipe, net: nn.Module, split: Split, shape: tuple[int, ...]) -> float:
    """The score of a network on the validation rows."""
    import torch

    from hebbevo.training import SCORES, Rows

    rows = Rows.of(split, shape, torch.device("cpu"))
    with torch.no_grad():
        outputs = torch.cat([net(chunk) for chunk in torch.split(rows.x_val, 2048)])
    score = SCORES.get(recipe.score_name)
    score_of = score.of if score else user_code.called(recipe.score_name)
    return float(score_of(outputs, rows.y_val))
