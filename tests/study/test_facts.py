"""The facts of a study as JSON and back."""

import json
from dataclasses import replace

import pytest

from hebbevo.data import NO_FINDINGS
from hebbevo.study.facts import StudyFacts

PLAIN = {
    "versions": {"python": "3.11", "torch": "2"},
    "engine": 3,
    "rows": {"train": 70, "validation": 15, "test": 15},
    "features": 64,
    "shape": [1, 8, 8],
    "classes": ["ä", 1, True],
    "class_weights": [0.5, 1.5, 1.0],
    "target_mean": 0.25,
    "target_scale": 2.0,
    "mean": [0.1 + 0.2, 1 / 3],
    "scale": [1.0, 5e-324],
    "fingerprint": "b085",
    "findings": {
        "dropped": ["id"],
        "text_labels": True,
        "text_columns": ["town"],
        "channels_last": False,
        "validation": True,
        "remarks": ["column 'id' numbers the rows"],
    },
    "exact": True,
    "code": {"mine:load": "77ab"},
    "modules": {"mine": "77ab", "helper": "0c12"},
    "device": "cuda",
    "threads": 2,
    "neurons": 20,
    "chance": 0.1,
    "alone": "hardly two have the same structure (they differ in 2.p)",
    "cohort_width": 16,
    "stack_check": 2,
    "invalid": "mine:build: raised ValueError: 12 is not divisible by 5",
    "repeatable": False,
    "short": True,
    "sampling": 2,
    "further": {"connections": 300},
    "cuts_channels": True,
    "native": 1,
}


def test_facts_come_back_from_json_and_keep_their_keys_in_order() -> None:
    facts = StudyFacts.from_json(PLAIN)
    plain = json.loads(json.dumps(facts.to_json()))
    assert list(plain.items()) == list(PLAIN.items())
    assert StudyFacts.from_json(plain) == facts
    assert (facts.shape, facts.classes) == ((1, 8, 8), ("ä", 1, True))


@pytest.mark.parametrize("missing", sorted(PLAIN.keys() - {"versions", "neurons", "chance"}))
def test_a_study_that_did_not_record_a_fact_yet_has_a_neutral_one(missing: str) -> None:
    facts = StudyFacts.from_json({name: value for name, value in PLAIN.items() if name != missing})
    whole = StudyFacts.from_json(PLAIN)
    found = getattr(facts, missing)
    usual = {
        "device": "cpu",
        "threads": 1,
        "cohort_width": 1,
        "stack_check": 1,
        "sampling": 1,
        "findings": NO_FINDINGS,
        "target_scale": 1.0,
        "repeatable": True,
    }
    assert found == usual[missing] if missing in usual else not found
    assert replace(facts, **{missing: getattr(whole, missing)}) == whole


def test_entries_of_other_programs_are_ignored() -> None:
    assert StudyFacts.from_json({**PLAIN, "colour": "green"}) == StudyFacts.from_json(PLAIN)
