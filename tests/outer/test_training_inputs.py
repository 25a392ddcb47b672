"""What the trainings of a recorded study get."""

from dataclasses import replace

import numpy as np
import pytest

import hebbevo
from hebbevo.outer import preflight
from hebbevo.outer.training_inputs import load, recipe_of, split_of
from hebbevo.spec import read
from hebbevo.study.ledger import Ledger


def test_a_study_that_rounded_its_data_first_gets_the_same_rows_as_then(space, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3)) + np.array([0.0, 1e6, 1.7e9])
    np.savez(tmp_path / "large.npz", x=x, y=rng.integers(3, size=240))
    study = hebbevo.search(space, dataset=str(tmp_path / "large.npz"), study=tmp_path / "new.db", trials=8)
    with Ledger.open(study.store) as new:
        rounded = load(new.spec.task).in_float32()
        facts = replace(new.facts, exact=False, fingerprint=rounded.fingerprint)
        exact = split_of(new)
        with Ledger.create(tmp_path / "earlier.db", new.spec, facts) as earlier:
            split = split_of(earlier)
    assert split.x_train.dtype == np.float32
    # the literal computation of earlier studies: all in float32, but for the differences
    raw = x.astype(np.float32).astype(np.float64)
    mean, scale = split.mean.astype(np.float32), split.scale.astype(np.float32)
    everything = ((raw - mean) / scale).astype(np.float32)
    known = {row.tobytes() for row in everything}
    assert all(row.tobytes() in known for row in (*split.x_train, *split.x_val, *split.x_test))
    assert len(np.unique(split.x_train[:, 2])) < 30 < len(np.unique(exact.x_train[:, 2]))
    assert exact.x_train.std(axis=0) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("begun", ["now", "earlier"])
def test_a_study_that_computed_whole_convolutions_goes_on_to_do_so(begun, tmp_path):
    spec = read("stamina")
    _, facts = preflight.prepare(spec, "cpu", 1)
    if begun == "earlier":
        plain = {name: value for name, value in facts.to_json().items() if name != "cuts_channels"}
        facts = type(facts).from_json(plain)
    with Ledger.create(tmp_path / "study.db", spec, facts) as ledger:
        assert recipe_of(ledger).cuts_channels is (begun == "now")
