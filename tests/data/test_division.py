"""Splits by groups, by time and by a given column, as properties of many random data sets."""

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import ReadingOptions, from_arrays, load, split
from hebbevo.data.division import division
from hebbevo.errors import DataError


@pytest.fixture
def parted(tmp_path):
    """The row numbers of training, validation and test, of a table split by a column."""

    def parts(kind, values, labels, seed=0, test=None):
        frame = pd.DataFrame({"a": np.arange(len(values)) * 7 % 1009, "by": values, "t": labels})
        frame.to_csv(tmp_path / "d.csv", index=False)
        if test is not None:
            frame.iloc[:test].drop(columns="by").to_csv(tmp_path / "t.csv", index=False)
        options = ReadingOptions(split=(kind, "by"), test=str(tmp_path / "t.csv") if test else None)
        dataset = load(str(tmp_path / "d.csv"), target="t", options=options)
        assert dataset.shape == (1,)
        made = split(dataset, seed, batch_size=1)
        places = {number: place for place, number in enumerate(frame.a)}
        found = []
        for part in ("train", "val", "test"):
            numbers = getattr(made, f"x_{part}")[:, 0] * made.scale[0] + made.mean[0]
            found.append([places[number] for number in np.rint(numbers).astype(int).tolist()])
            assert frame.t.iloc[found[-1]].tolist() == [made.classes[i] for i in getattr(made, f"y_{part}")]
        return found

    return parts


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_a_group_stay_together_and_parts_keep_sizes_and_classes_where_they_can(parted, seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 600)
    labels = np.where(rng.random(600) < 0.3, "a", "b")
    names = np.array([f"patient {group}" for group in groups])
    train, val, test = parted("groups", names, labels, seed)
    assert sorted(train + val + test) == list(range(600))
    sets = [set(groups[part]) for part in (train, val, test)]
    assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
    for part in (val, test):
        assert 0.11 <= len(part) / 600 <= 0.19
        assert abs((labels[part] == "a").mean() - (labels == "a").mean()) < 0.1
    assert parted("groups", names, labels, seed) == [train, val, test]
    assert parted("groups", names, labels, seed + 100) != [train, val, test]


def test_few_or_large_groups_still_give_every_part_some_rows(parted):
    labels = ["a", "b"] * 15
    train, val, test = parted("groups", np.repeat([1, 2, 3], 10), labels)
    assert [len(train), len(val), len(test)] == [10, 10, 10]
    train, val, test = parted("groups", np.repeat([1, 2], [20, 10]), labels, test=4)
    assert (len(train), len(val), test) == (20, 10, [0, 1, 2, 3])
    with pytest.raises(DataError, match="has 2 groups, too few for 3 parts"):
        parted("groups", np.repeat([1, 2], 15), labels)


def test_a_class_that_only_held_out_groups_have_is_refused(parted):
    with pytest.raises(DataError, match=r"no training row has the class '(a|b|c)'"):
        parted("groups", np.repeat([1, 2, 3], 10), np.repeat(["a", "b", "c"], 10))


DATES = [str(day.date()) for day in pd.date_range("2023-12-01", periods=100)]


@pytest.mark.parametrize(
    "times",
    [np.arange(100), np.arange(100) * 0.5 - 7, DATES, [f"{day}T10:00:00Z" for day in DATES]],
    ids=["whole", "real", "dates", "times"],
)
def test_the_latest_rows_are_for_test_and_those_before_for_validation(parted, times):
    order = np.random.default_rng(0).permutation(100)
    train, val, test = parted("time", np.array(times)[order], np.array(["a", "b"])[order % 2])
    ages = [sorted(order[part].tolist()) for part in (train, val, test)]
    assert ages == [list(range(70)), list(range(70, 85)), list(range(85, 100))]
    assert train == sorted(train) and test == sorted(test)


def test_rows_of_one_time_are_in_one_part(parted):
    rng = np.random.default_rng(1)
    for _ in range(5):
        times = rng.integers(0, 12, 200)
        train, val, test = parted("time", times, np.arange(200) % 2)
        assert max(times[train]) < min(times[val]) and max(times[val]) < min(times[test])
        train, val, test = parted("time", times, np.arange(200) % 2, test=3)
        assert max(times[train]) < min(times[val]) and len(train) + len(val) == 200
    with pytest.raises(DataError, match="has too few times to split by"):
        parted("time", [1] * 20, ["a", "b"] * 10)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("train", "validation", "test"), (20, 10, 10)),
        (("Training", "VAL", " testing"), (20, 10, 10)),
        (("train", "dev", "dev"), (16, 20, 4)),
        (("train", "test", "test"), (16, 4, 20)),
        (("train", "train", "train"), (28, 6, 6)),
    ],
)
def test_parts_that_a_column_gives_are_taken_and_others_are_held_out_of_training(parted, names, sizes):
    by = np.repeat(names, [20, 10, 10])
    found = parted("column", by, np.arange(40) % 2)
    assert tuple(map(len, found)) == sizes
    assert sorted(row for part in found for row in part) == list(range(40))
    for part, known in zip(found, (("train",), ("val", "dev"), ("test",)), strict=True):
        named = {row for row in range(40) if by[row].strip().lower().startswith(known)}
        assert named <= set(part) if known != ("train",) else set(part) <= named


def test_test_rows_twice_are_refused_and_a_test_file_goes_with_a_validation_column(parted):
    by = np.repeat(["train", "val"], [30, 10])
    train, val, test = parted("column", by, np.arange(40) % 2, test=5)
    assert (len(train), len(val), len(test)) == (30, 10, 5)
    with pytest.raises(DataError, match="has a test set and test rows besides"):
        parted("column", np.repeat(["train", "test"], 20), np.arange(40) % 2, test=5)
    with pytest.raises(DataError, match="has no training rows"):
        parted("column", ["val", "test"] * 20, np.arange(40) % 2)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("column", ["train", "fold 3"], "'by' holds 'fold 3'; write train, validation and test"),
        ("time", ["2024-01-31", "yesterday"], "'by': 'yesterday' is no time; write numbers, or dates"),
        ("groups", ["a", None], r"'by' has no value in row 1 \(counted from 0\)"),
    ],
)
def test_values_without_a_meaning_are_refused(kind, values, words):
    with pytest.raises(DataError, match=words):
        division("d", kind, "by", np.array(values, object))


def test_a_division_is_part_of_the_fingerprint_and_none_leaves_it_as_it_was():
    from dataclasses import replace

    plain = from_arrays("d", np.eye(8), np.arange(8) % 2)
    groups = division("d", "groups", "by", np.repeat([0, 1], 4))
    others = division("d", "groups", "by", np.repeat([0, 1], [3, 5]))
    prints = {replace(plain, division=each).fingerprint for each in (None, groups, others)}
    assert len(prints) == 3 and plain.fingerprint in prints
    # recorded before there were divisions: a study that has it must go on
    assert plain.fingerprint == "83d6f40b6ce29f98b284a2e53e4e1d02ea69154e88bdb54d97558bc9093bef5c"
