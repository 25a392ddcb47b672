"""The settings of knobs at which a rule has a need."""

import pytest

from hebbevo.rules.rule import Asked


@pytest.mark.parametrize(
    ("asked", "met", "unmet", "text"),
    [
        (Asked("settle"), 0.25, 0.0, "settle"),
        (Asked("handover", True), True, False, "handover"),
        (Asked("rebirth", "fresh"), "fresh", "auto", "rebirth="),
    ],
)
def test_a_setting_says_which_values_meet_it_and_names_the_knob(asked, met, unmet, text):
    assert asked.is_met_by(met) and not asked.is_met_by(unmet)
    if text.endswith("="):
        assert str(asked).startswith(text) and "fresh" in str(asked)
    else:
        assert str(asked) == text
