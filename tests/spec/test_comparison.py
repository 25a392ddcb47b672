import pytest

from hebbevo.spec import difference, override, read, spec_from_json
from tests.spec.conftest import GOOD, MINIMAL


def test_a_difference_names_every_setting_that_differs(good):
    now = override(good, trials=9, seed=1, dataset="x.csv", target="y")
    assert difference(good, now) == [
        "task.dataset: 'digits' in the study, 'x.csv' here",
        "task.target: nothing in the study, 'y' here",
        "search.seed: 0 in the study, 1 here",
    ]
    assert difference(good, now, ignoring=("task.dataset", "task.target", "search.seed")) == [
        "search.trials: 500 in the study, 9 here"
    ]
    assert difference(good, good) == []


def test_a_difference_reaches_lists_settings_and_genes(good, written):
    text = (
        GOOD.replace("- 64", "- 32")
        .replace("warmup: 10", "grace: 1")
        .replace("[mean, ratio]", "[ratio, mean]")
    )
    assert difference(good, read(written(text.replace("low: 1e-2", "low: 0.1")))) == [
        "network.hidden: [128, 64] in the study, [128, 32] here",
        "network.settings.warmup: 10 in the study, nothing here",
        "genome.unactivation_penalty.low: 0.01 in the study, 0.1 here",
        "genome.penalty_form.choices: ['mean', 'ratio'] in the study, ['ratio', 'mean'] here",
        "network.settings.grace: nothing in the study, 1 here",
    ]


def test_one_and_true_differ_but_one_and_one_point_nought_do_not(written):
    specs = {
        value: read(
            written(MINIMAL + f"network: {{settings: {{penalty_form: mean, max_deaths: {value}}}}}\n")
        )
        for value in ("1", "1.0")
    }
    assert difference(specs["1"], specs["1.0"]) == []
    data = specs["1"].to_json()
    data["network"]["settings"]["max_deaths"] = True
    assert difference(specs["1"], spec_from_json(data)) == [
        "network.settings.max_deaths: 1 in the study, true here"
    ]


def test_another_order_of_the_genes_is_a_difference(good):
    data = good.to_json()
    data["genome"] = dict(reversed(data["genome"].items()))
    names = list(good.genome)
    assert difference(good, spec_from_json(data)) == [
        f"genome: in the order {', '.join(names)} in the study, {', '.join(reversed(names))} here"
    ]


@pytest.mark.parametrize(("setting", "value"), [("task.standardize", True), ("search.engine", "pytorch")])
def test_auto_is_what_the_study_has_and_the_other_way_round_it_is_a_change(good, setting, value):
    part, _, name = setting.partition(".")
    data = good.to_json()
    chosen = spec_from_json({**data, part: {**data[part], name: value}})
    auto = spec_from_json({**data, part: {**data[part], name: "auto"}})
    assert difference(chosen, auto) == []
    assert len(difference(auto, chosen)) == 1


def test_a_study_from_before_the_key_has_each_feature_standardised_by_itself(good):
    data = good.to_json()
    del data["task"]["standardize"]
    assert spec_from_json(data).task.standardize is True
