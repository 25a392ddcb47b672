import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hebbevo.errors import UsageError
from hebbevo.space import ChoiceGene, FloatGene, IntGene, Space
from hebbevo.study.window import (
    ALL,
    UsableTrial,
    default_by,
    default_knob,
    find_by,
    find_knob,
    make_window,
    wilson,
)

PENALTY = FloatGene("unactivation_penalty", 0.01, 100.0, log=True)
FORM = ChoiceGene("penalty_form", ("mean", "ratio"))
THRESHOLD = FloatGene("hebbian_threshold", -1.0, 1.0)
USABLE = UsableTrial(best=0.99)


def trials(n, low=-math.inf, high=math.inf, seed=0, share=1.0):
    """Trials over the whole range of the penalty, of which those from ``low`` to ``high`` are usable."""
    rng = np.random.default_rng(seed)
    penalty = 10 ** (4 * (rng.permutation(n) + rng.random(n)) / n - 2)
    usable = (low <= penalty) & (penalty <= high) & (rng.random(n) < share)
    return pd.DataFrame(
        {
            "state": "complete",
            "collapsed": False,
            "accuracy": 0.98,
            "survivors": np.where(usable, 50.0, 200.0),
            "neurons": 256,
            "genome.unactivation_penalty": penalty,
            "genome.penalty_form": np.where(rng.permutation(n) % 2, "mean", "ratio"),
            "genome.hebbian_threshold": rng.uniform(-1, 1, n),
        }
    )


def window(frame, by=None, knob=PENALTY, definition=USABLE):
    return make_window(frame, knob, by, definition, lambda needed: f"more {needed}")


@pytest.mark.parametrize(("usable", "of"), [(0, 10), (3, 10), (10, 10), (57, 100), (1, 1)])
def test_the_interval_is_that_of_wilson(usable, of):
    z, p = norm.ppf(0.975), usable / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    assert wilson(usable, of) == pytest.approx((max(centre - half, 0), min(centre + half, 1)), abs=1e-12)


def test_the_shares_are_those_of_a_count_by_hand():
    frame = trials(1000, low=0.3, share=0.5)
    found = window(frame, FORM).shares
    for cell in found.to_dict("records"):
        inside = [
            row
            for row in frame.to_dict("records")
            if cell["low"] <= row["genome.unactivation_penalty"] < cell["high"]
            and cell["group"] in (ALL, row["genome.penalty_form"])
        ]
        assert cell["trials"] == len(inside)
        assert cell["usable"] == sum(row["survivors"] == 50 for row in inside)
        assert (cell["share_low"], cell["share_high"]) == wilson(cell["usable"], cell["trials"])
    assert found["trials"].sum() == 2000


def test_a_trial_is_usable_if_it_lost_enough_and_is_near_the_best_and_above_chance():
    frame = trials(9).assign(
        survivors=[128, 129, 100, 100, 100, 100, 100, 100, 100],
        accuracy=[0.94, 0.99, 0.939, 0.98, 0.98, math.nan, math.nan, 0.99, 0.3],
        state=[*["complete"] * 5, "failed", "stopped", "complete", "complete"],
        collapsed=[*[False] * 7, True, False],
    )
    assert USABLE(frame).tolist() == [True, False, False, True, True, False, False, False, False]
    assert UsableTrial(0.6, 0.05, 0.99)(frame).tolist()[:4] == [False, False, False, True]
    assert UsableTrial(0.5, 1.0, 0.99, chance=0.3)(frame).tolist()[-1] is False


def test_the_definition_says_its_numbers_in_words():
    assert UsableTrial(0.25, 0.1, 0.5).text == (
        "at least 25 % of the neurons gone, accuracy within 10 points of the best (50.0 %)"
    )
    other = UsableTrial(0.5, 0.05, 0.93, count="connections", score="R2", in_percent=False)
    assert other.text == "at least 50 % of the connections gone, R2 within 0.05 of the best (0.930)"


@pytest.mark.parametrize(("name", "value"), [("min_lost", -0.1), ("within", 1.5), ("within", math.nan)])
def test_a_definition_out_of_range_is_refused(name, value):
    where = name.replace("_", "-")
    with pytest.raises(UsageError, match=rf"^{where}: \S+ is not possible; write a number from"):
        UsableTrial(**{name: value})


@pytest.mark.parametrize(
    ("low", "high", "begin", "end"),
    [
        (
            1.0,
            math.inf,
            "is usable from ",
            "; upper end not reached in this space",
        ),
        (-math.inf, 1.0, "is usable up to ", "; lower end not reached in this space"),
        (0.1, 10.0, "is usable from ", " % of trials"),
        (
            -math.inf,
            math.inf,
            "is usable over the whole range",
            "lower and upper end not reached in this space",
        ),
        (1e3, 1e4, "is usable nowhere (0 of 400 trials)", ""),
        (95.0, 1e4, "is usable too rarely to say where (", " of 400 trials)"),
    ],
)
def test_the_sentence_says_where_the_window_begins_and_ends(low, high, begin, end):
    sentence = window(trials(400, low, high)).sentence.removesuffix(". In brackets: 95 % intervals")
    assert sentence.startswith(f"unactivation_penalty {begin}")
    assert sentence.endswith(end)


def test_the_edges_are_where_the_trials_begin_and_end_to_be_usable():
    [whole] = window(trials(400, 0.1, 10.0)).ranges
    assert [whole.lower.place, whole.upper.place] == pytest.approx([0.1, 10], rel=0.15)
    assert whole.lower.low <= whole.lower.place <= whole.lower.high


@pytest.mark.parametrize("count", [0, 1, 199])
def test_too_few_trials_have_no_window_but_the_command_that_makes_more(count):
    found = window(trials(count, 1.0))
    assert found.ranges == ()
    assert found.sentence == (
        f"{count} trials that the sampler did not choose are too few for unactivation_penalty: "
        "8 cells need 200; run 'more 200'"
    )


def test_forms_are_told_apart_from_25_trials_for_each_cell_on():
    few = window(trials(399, 1.0), FORM)
    assert [each.group for each in few.ranges] == [ALL]
    assert few.remarks == (
        "399 trials are too few to tell penalty_form apart: 2 x 8 cells need 400; run 'more 400'",
    )
    enough = window(trials(400, 1.0), FORM)
    assert [each.group for each in enough.ranges] == [ALL, "mean", "ratio"]
    assert enough.remarks == ()
    assert ". By penalty_form: mean from " in enough.sentence


def test_only_trials_count_in_which_the_knob_is_active_and_the_command_makes_enough_of_these():
    frame = trials(200, 1.0)
    frame.loc[::2, "genome.unactivation_penalty"] = math.nan
    found = window(frame)
    assert len(found.trials) == found.shares["trials"].sum() == 100
    assert found.sentence.endswith("8 cells need 200; run 'more 400'")


def test_trials_that_were_stopped_early_are_named():
    frame = trials(400, 1.0)
    frame.loc[:9, "state"] = "stopped"
    assert "10 trials were stopped early and count as not usable" in window(frame).sentence


def test_a_zero_beside_the_range_has_a_cell_and_no_part_in_the_edges():
    frame = trials(300, 1.0)
    frame.loc[:49, "genome.unactivation_penalty"] = 0.0
    found = window(frame, knob=FloatGene("unactivation_penalty", 0.01, 100.0, log=True, zero=True))
    first = found.shares.iloc[0]
    assert (first["cell"], first["trials"]) == ("0", 50)
    assert found.ranges[0].trials == 250


def test_whole_numbers_and_choices_of_every_type_can_be_told_apart():
    frame = trials(200).assign(**{"genome.flag": [True, False] * 100})
    frame["genome.depth"] = pd.array([1, 2, 3, pd.NA] * 50, dtype="Int64")
    assert set(window(frame, ChoiceGene("flag", (True, False))).shares["group"]) == {ALL, "true", "false"}
    by_depth = window(frame, IntGene("depth", 1, 3)).shares
    assert by_depth.groupby("group")["trials"].sum().to_dict() == {ALL: 200, "1": 50, "2": 50, "3": 50}


def test_the_knob_is_the_penalty_or_what_correlates_most_with_the_survivors():
    frame = trials(50, 1.0)
    assert default_knob([THRESHOLD, FORM, PENALTY], frame) == "unactivation_penalty"
    layer = FloatGene("unactivation_penalty.2", 0.01, 1.0, log=True)
    assert default_knob([THRESHOLD, layer], frame) == "unactivation_penalty.2"
    other = FloatGene("rate", 0.0, 1.0)
    rated = frame.assign(**{"genome.rate": frame["survivors"] / 256})
    assert default_knob([THRESHOLD, other], rated) == "rate"
    of_accuracy = rated.assign(accuracy=frame["genome.hebbian_threshold"])
    assert default_knob([THRESHOLD, other], of_accuracy, "accuracy") == "hebbian_threshold"
    assert default_knob([THRESHOLD], frame.iloc[:0]) is None
    assert default_knob([FORM], frame) is None


def test_a_penalty_is_cut_by_its_form():
    layers = tuple(
        gene
        for k in (1, 2)
        for gene in (
            FloatGene(f"unactivation_penalty.{k}", 0.01, 1.0, log=True),
            ChoiceGene(f"penalty_form.{k}", ("mean", "ratio")),
        )
    )
    assert default_by(Space(layers), "unactivation_penalty.2") == "penalty_form.2"
    assert default_by(Space((PENALTY, FORM)), "unactivation_penalty") == "penalty_form"
    assert default_by(Space((PENALTY,)), "unactivation_penalty") is None
    assert default_by(Space((THRESHOLD, FORM)), "hebbian_threshold") is None


def test_other_names_are_refused_with_those_that_there_are():
    space = Space((PENALTY, FORM, THRESHOLD))
    with pytest.raises(UsageError, match=r"^knob: .* 'hebian_threshold'; did you mean hebbian_threshold\?$"):
        find_knob(space, "hebian_threshold")
    with pytest.raises(UsageError, match=r"^by: .* 'x'; known: penalty_form$"):
        find_by(space, "x", "unactivation_penalty")
