"""The score of a unit by its incoming weights, by hand."""

from types import SimpleNamespace

import torch

from hebbevo.rules import UNITS


def scores(incoming: list[list[float]], alive: list[list[bool]]) -> list[list[float]]:
    layer = SimpleNamespace(incoming=torch.tensor(incoming), alive=torch.tensor(alive))
    return UNITS["magnitude"].score(SimpleNamespace(), SimpleNamespace(), layer).tolist()


def test_the_score_is_the_norm_in_units_of_the_mean_norm_of_living_units():
    found = scores(
        [[3.0, 1.0, 2.0, 8.0], [8.0, 8.0, 4.0, 12.0]], [[True, True, True, False], [True, True, True, True]]
    )
    assert found == [[1.5, 0.5, 1.0, 0.0], [1.0, 1.0, 0.5, 1.5]]


def test_a_layer_without_living_units_or_without_weights_has_scores_of_zero():
    assert scores([[3.0, 1.0], [0.0, 0.0]], [[False, False], [True, True]]) == [[0.0, 0.0], [0.0, 0.0]]


def test_the_only_living_unit_has_the_mean_norm():
    assert scores([[3.0, 8.0]], [[True, False]]) == [[1.0, 0.0]]
