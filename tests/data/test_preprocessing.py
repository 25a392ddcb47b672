"""Preprocessing keeps what raw values tell apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hebbevo.data import Dataset, from_arrays, load, split
from hebbevo.errors import DataError

OFFSET = 1_700_000_000
SECONDS = np.random.default_rng(0).permutation(200)
Y = SECONDS % 2


def from_function(folder: Path, x, x_test, monkeypatch) -> Dataset:
    np.savez(folder / "f.npz", x=x, y=Y, x_test=x_test, y_test=Y)
    name = f"made_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(
        f"import numpy as np\ndef make():\n    f = np.load({str(folder / 'f.npz')!r})\n"
        "    return f['x'], f['y'], f['x_test'], f['y_test']\n"
    )
    monkeypatch.syspath_prepend(folder)
    return load(f"{name}:make")


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.uint32])
@pytest.mark.parametrize("source", ["array", "npz", "csv", "parquet", "function"])
def test_timestamps_keep_every_second(source: str, kind: type, tmp_path: Path, monkeypatch) -> None:
    x = (SECONDS + OFFSET)[:, None].astype(kind)
    x_test = None
    frame = pd.DataFrame({"time": x[:, 0], "y": Y})
    if source == "array":
        x_test = x
        dataset = from_arrays("d", x, Y, x, Y)
    elif source == "npz":
        np.savez(tmp_path / "d.npz", x=x, y=Y)
        dataset = load(str(tmp_path / "d.npz"))
    elif source == "function":
        x_test = x
        dataset = from_function(tmp_path, x, x, monkeypatch)
    elif source == "csv":
        frame.to_csv(tmp_path / "d.csv", index=False)
        dataset = load(str(tmp_path / "d.csv"), target="y")
    else:
        frame.to_parquet(tmp_path / "d.parquet")
        dataset = load(str(tmp_path / "d.parquet"), target="y")
    parts = split(dataset, seed=0, batch_size=1)
    tests = (SECONDS[:, None], Y) if x_test is not None else ()
    without = from_arrays("d", SECONDS[:, None], Y, *tests)
    plain = split(without, seed=0, batch_size=1)
    for part in ("x_train", "x_val", "x_test"):
        np.testing.assert_allclose(getattr(parts, part), getattr(plain, part), atol=1e-6)


def test_a_test_set_alone_may_need_the_precision() -> None:
    x = np.array([[0.0], [1.0]] * 10)
    dataset = from_arrays("d", x, np.arange(20) % 2, np.array([[0.1]]), np.array([1]))
    assert dataset.x.dtype == dataset.x_test.dtype == np.float64
    assert dataset.x_test[0, 0] == 0.1
    assert dataset.in_float32().x_test[0, 0] == np.float32(0.1)


def test_integers_that_float64_merges_are_refused_and_others_are_not() -> None:
    big = 2**60 + np.arange(20)[:, None]
    with pytest.raises(DataError, match="x has integers in column 0 that differ in float64 no more"):
        from_arrays("d", big, np.arange(20) % 2)
    apart = 2**60 + 1024 * np.arange(20)[:, None]
    assert len(set(from_arrays("d", apart, np.arange(20) % 2).x[:, 0])) == 20


def test_without_standardising_values_stay_and_what_float32_cannot_hold_is_refused() -> None:
    tokens = np.arange(60).reshape(20, 3) * 500
    parts = split(from_arrays("d", tokens, np.arange(20) % 2), 0, 1, standardize=False)
    assert set(parts.x_train.ravel()) <= set(tokens.ravel().tolist())
    assert parts.mean.tolist() == [0] * 3
    assert parts.scale.tolist() == [1] * 3
    dataset = from_arrays("d", tokens + OFFSET, np.arange(20) % 2)
    with pytest.raises(DataError, match=r"float32 rounds the differences in column 0 away; standardise it"):
        split(from_arrays("d", SECONDS[:, None] + OFFSET, Y), 0, 1, standardize=False)
    with pytest.raises(DataError, match="has no column age to standardize; it is no table"):
        split(dataset, 0, 1, standardize=("age",))


def test_by_channel_all_pixels_of_a_channel_have_one_mean_and_one_deviation() -> None:
    images = np.random.default_rng(1).normal(
        [[[[3.0]], [[-200.0]], [[0.0]]]], [[[[1]], [[50]], [[0]]]], (200, 3, 4, 5)
    )
    images[:, 2] = 0.1  # a constant channel, whose computed mean may be off by a rounding error
    parts = split(from_arrays("d", images, Y), 0, 1, standardize="per_channel")
    raw = images.reshape(200, -1)
    train = [int(np.abs(parts.mean + parts.scale * row - raw).sum(axis=1).argmin()) for row in parts.x_train]
    mean, scale = images[train].mean(axis=(0, 2, 3)), images[train].std(axis=(0, 2, 3))
    np.testing.assert_allclose(parts.mean, np.repeat(mean, 20), rtol=1e-6)
    np.testing.assert_allclose(parts.scale, np.repeat([*scale[:2], 1], 20), rtol=1e-6)
    assert not parts.x_train.reshape(-1, 3, 20)[:, 2].any()


def test_rows_that_are_no_images_have_no_channels_to_standardise_by() -> None:
    with pytest.raises(DataError, match=r"^d: standardize: per_channel is for .*; write standardize: true$"):
        split(from_arrays("d", np.eye(20), np.arange(20) % 2), 0, 1, standardize="per_channel")


@pytest.mark.parametrize(
    ("shape", "as_is"), [((3, 4, 5), "per_channel"), ((4, 5), "per_channel"), ((9,), True)]
)
def test_by_default_images_are_standardised_by_channel_and_all_else_by_feature(shape, as_is) -> None:
    rows = np.random.default_rng(1).exponential(
        np.arange(1, 1 + np.prod(shape)).reshape(shape), (200, *shape)
    )
    default, other = (split(from_arrays("d", rows, Y), 0, 1, **how) for how in ({}, {"standardize": as_is}))
    np.testing.assert_array_equal(default.x_train, other.x_train)
    deviations = {(4, 5): 1, (3, 4, 5): 3, (9,): 9}[shape]
    assert len(np.unique(default.scale)) == deviations
