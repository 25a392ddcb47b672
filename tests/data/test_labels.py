"""Labels of text tables: what is a class, what is missing, and which of them are equal."""

import csv
import io

import numpy as np
import pytest

from hebbevo.data import load
from hebbevo.data.options import Findings
from hebbevo.errors import DataError


@pytest.fixture
def labelled(tmp_path):
    """Load a table of one feature with these labels, written as they are."""

    def read(labels, **options):
        lines = [f"{i * 7 % 5},{label}" for i, label in enumerate(labels)]
        (tmp_path / "d.csv").write_text("\n".join(["f,t", *lines]) + "\n")
        return load(str(tmp_path / "d.csv"), target="t", **options)

    return read


NAMED = ["None", "NA", "null", "NULL", "nan", "NaN", "N/A", "n/a", "#N/A", "<NA>", "-nan", "NONE"]


@pytest.mark.parametrize("name", NAMED)
def test_what_can_mean_missing_is_a_class_among_names(labelled, name):
    dataset = labelled(["mild", name, "severe", name, "mild"])
    assert dataset.classes == tuple(sorted(["mild", name, "severe"]))
    if dataset.findings.text_labels:
        [remark] = dataset.findings.remarks
        assert remark.endswith(f"the labels '{name}' are read as names of classes, not as missing")
    again = labelled(["mild", name, "severe", name, "mild"], findings=dataset.findings)
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("labels", [["1", "NA", "2"], ["True", "None", "False"], ["0.5", "nan", "1"]])
def test_among_numbers_and_truth_values_it_is_missing(labelled, labels):
    with pytest.raises(DataError, match="y has 1 missing or infinite labels, the first in row 1") as caught:
        labelled(labels)
    assert f"{labels[1]!r} among numbers" in str(caught.value)
    assert "write another name, as 'unknown', if it is a class" in str(caught.value)


@pytest.mark.parametrize("labels", [["a", "", "b"], ["None", "", "b"], ['""', "a", "b"]])
def test_an_empty_label_is_missing(labelled, labels):
    with pytest.raises(DataError, match="y has 1 missing or infinite labels"):
        labelled(labels)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (['"01"', '"1"', '"2"'] * 2, ("01", "1", "2")),
        (["01", "1", "10"] * 2, ("01", "1", "10")),
        (["-01", "-1", "1"] * 2, ("-01", "-1", "1")),
        (["00", "0", "1"] * 2, ("0", "00", "1")),
        (
            ["9007199254740993", "9007199254740992", "0.5"] * 2,
            ("0.5", "9007199254740992", "9007199254740993"),
        ),
    ],
)
def test_labels_that_numbers_would_merge_stay_texts_and_this_is_said(labelled, labels, classes):
    dataset = labelled(labels)
    assert dataset.classes == classes
    assert [classes[i] for i in dataset.y] == [label.strip('"') for label in labels]
    [remark] = dataset.findings.remarks
    assert "are read as different classes, and all labels as text" in remark
    # a study that began before has read them as numbers, and goes on so
    assert len(labelled(labels, findings=Findings()).classes) == len(classes) - 1


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (['"1"', '"2"'] * 3, (1, 2)),
        (["01", "02"] * 3, (1, 2)),
        (["1", "1.0", "2"] * 2, (1.0, 2.0)),
        (["+1", "-1", "1"] * 2, (-1, 1)),
        (["TRUE", "True", "false"] * 2, (False, True)),
        (["1", " 1", "2"] * 2, (1, 2)),
        (["1e3", "1000", "2"] * 2, (2.0, 1000.0)),
    ],
)
def test_labels_that_are_the_same_number_are_the_same_class(labelled, labels, classes):
    dataset = labelled(labels)
    assert repr(dataset.classes) == repr(classes)
    assert dataset.findings.remarks == ()
    assert dataset.fingerprint == labelled(labels, findings=Findings()).fingerprint


def test_random_labels_are_as_many_classes_as_the_csv_module_finds(labelled):
    rng = np.random.default_rng(0)
    names = ["a", "None", "x y", "NA", "0x1", "null", "b,c", "01", "1", "yes"]
    for _ in range(30):
        chosen = rng.choice(names, size=rng.integers(2, 6), replace=False).tolist()
        if not set(chosen) & {"a", "x y", "0x1", "b,c", "yes"}:
            chosen[0] = "a"
        if len(chosen) < 2:
            continue
        labels = [chosen[i] for i in rng.integers(0, len(chosen), 12)] + chosen
        quoted = [f'"{label}"' if "," in label or rng.random() < 0.5 else label for label in labels]
        expected = [row[1] for row in csv.reader(io.StringIO("\n".join(f"1,{label}" for label in quoted)))]
        dataset = labelled(quoted)
        assert [dataset.classes[i] for i in dataset.y] == expected


def test_a_test_file_decides_with_the_data_whether_labels_are_texts(tmp_path):
    from hebbevo.data import ReadingOptions

    (tmp_path / "a.csv").write_text("f,t\n" + "".join(f"{i},{i % 2 + 1}\n" for i in (3, 1, 2, 7, 5, 6)))
    (tmp_path / "b.csv").write_text("t,f\n2,9\n1,8\n")
    options = ReadingOptions(test=str(tmp_path / "b.csv"))
    dataset = load(str(tmp_path / "a.csv"), target="t", options=options)
    assert (dataset.x_test.tolist(), dataset.y_test.tolist()) == ([[9], [8]], [1, 0])
    (tmp_path / "b.csv").write_text("t,f\n02,9\n2,8\n")
    with pytest.raises(DataError, match="y_test has labels that y has not: '02'"):
        load(str(tmp_path / "a.csv"), target="t", options=options)
