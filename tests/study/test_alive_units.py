"""Which neurons were alive after each epoch, in a few bytes."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from hebbevo.study import validation
from hebbevo.study.alive_units import AliveUnits
from hebbevo.study.validation import RecordError, check


@pytest.fixture
def alive() -> np.ndarray:
    return np.random.default_rng(0).random((7, 5 + 12 + 1)) < 0.4


@pytest.fixture
def recorded(alive) -> AliveUnits:
    return AliveUnits.of((5, 12, 1), [np.packbits(epoch).tobytes() for epoch in alive])


def test_what_is_recorded_is_read_again_layer_by_layer(alive, recorded) -> None:
    read = AliveUnits.from_json(json.loads(json.dumps(asdict(recorded))))
    assert read == recorded
    for layer, columns in zip(read.by_layer(), np.split(alive, [5, 17], axis=1), strict=True):
        assert np.array_equal(layer, columns)


def test_neurons_that_die_one_by_one_take_less_than_two_bits_each() -> None:
    alive = np.arange(20)[:, None] < np.linspace(1, 21, 256)
    found = AliveUnits.of((256,), [np.packbits(epoch).tobytes() for epoch in alive])
    assert len(found.bits) * 8 < 2 * alive.size


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 8},
        {"epochs": 0},
        {"epochs": 2**40},
        {"widths": [5, 12, 9]},
        {"widths": [-1]},
        {"bits": "no base 64"},
        {"bits": "AAAA"},
        {"bits": 3},
    ],
)
def test_damaged_records_are_refused(recorded, change) -> None:
    plain = asdict(recorded) | {"widths": [*recorded.widths]}
    check("a training", {"alive": plain}, validation.TRAINING, ())
    with pytest.raises(RecordError, match="alive is not widths, a number of epochs and bits"):
        check("a training", {"alive": plain | change}, validation.TRAINING, ())


def test_a_text_that_stands_for_more_bytes_than_there_are_neurons_is_not_unpacked(recorded) -> None:
    bomb = AliveUnits.of((8,), [bytes(10**6)])
    with pytest.raises(ValueError, match="there are not 1 bytes"):
        replace(bomb, epochs=1).by_layer()
