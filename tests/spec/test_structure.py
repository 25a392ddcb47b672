import json
import os

import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import spec_from_json
from tests.spec.conftest import WHEN


def test_a_spec_comes_back_from_json(good):
    back = spec_from_json(json.loads(json.dumps(good.to_json())))
    assert back == good and back.space == good.space
    assert type(back.network.settings["handover"]) is bool


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data["search"].update(trials="x"), "search.trials: 'x' is not a whole number; write "),
        (lambda data: data.pop("name"), "name: missing; write "),
        (
            lambda data: data["genome"]["prune_period"].update(low=99),
            "genome.prune_period.high: 20 is not above ",
        ),
        (
            lambda data: data["genome"].pop("penalty_form"),
            f"{WHEN}.penalty_form: there is no",
        ),
        (
            lambda data: data["genome"]["penalty_form"].update(choices=["mean", "ra\ud83dtio"]),
            r"genome.penalty_form.choices.1: '\ud83d' is half a character; write a whole one",
        ),
        (
            lambda data: data["task"].update(target="\udcff"),
            r"task.target: '\udcff' is half a character; write a whole one",
        ),
    ],
)
def test_a_recorded_spec_that_is_damaged_is_one_line(good, change, text):
    data = good.to_json()
    change(data)
    with pytest.raises(SpaceError) as caught:
        spec_from_json(data)
    assert str(caught.value).startswith(text)


def test_paths_may_have_bytes_that_are_no_text(good):
    data = good.to_json()
    data["task"]["dataset"] = os.fsdecode(b"\xff.npz")
    assert spec_from_json(data).task.dataset == "\udcff.npz"
    data["task"]["dataset"] = "\ud800.npz"
    with pytest.raises(SpaceError, match=r"^task\.dataset: '\\ud800' is half a character"):
        spec_from_json(data)


def test_a_recorded_spec_that_is_no_mapping_is_one_line():
    with pytest.raises(SpaceError, match=r"^file: \[\] is not a mapping; "):
        spec_from_json([])


def test_a_recorded_spec_needs_nothing_installed(good):
    data = good.to_json()
    data["network"]["units"], data["search"]["sampler"] = "gone", "gone too"
    assert spec_from_json(data).network.units == "gone"
