"""The chart of when each neuron died: its lines are the epochs after which a neuron was alive."""

import numpy as np
import pytest

from hebbevo.report.figures.raster import MOST, raster_figure
from hebbevo.study.alive_units import AliveUnits


def lives_of(*layers: np.ndarray) -> AliveUnits:
    alive = np.concatenate(layers, axis=1)
    widths = tuple(layer.shape[1] for layer in layers)
    return AliveUnits.of(widths, [np.packbits(epoch).tobytes() for epoch in alive])


def drawn(figure, layer: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The tables of a layer that its lines stand for: alive, and alive again."""
    tables = []
    for trace in figure.select_traces(row=layer):
        table = np.zeros(shape, bool)
        for start in range(0, len(trace.x), 3):
            first, last = trace.x[start : start + 2]
            assert trace.y[start] == trace.y[start + 1]
            assert trace.x[start + 2] is None
            table[round(first - 0.5) : round(last - 0.5), int(trace.text[start]) - 1] = True
        tables.append(table)
    return tables[0], tables[1]


@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_lines_are_the_epochs_after_which_each_neuron_was_alive(epochs) -> None:
    random = np.random.default_rng(epochs)
    layers = [random.random((epochs, width)) < 0.6 for width in (13, 1)]
    figure = raster_figure(lives_of(*layers))
    for number, alive in enumerate(layers, start=1):
        since_start, again = drawn(figure, number, alive.shape)
        assert np.array_equal(since_start | again, alive)
        assert np.array_equal(since_start, np.logical_and.accumulate(alive))


def test_longer_lives_are_below_shorter_ones() -> None:
    alive = np.arange(6)[:, None] < np.array([2, 6, 0, 4])
    first, _ = raster_figure(lives_of(alive)).data
    assert dict(zip(first.text[::3], first.y[::3], strict=True)) == {"2": 0, "4": 1, "1": 2}


def test_of_a_large_layer_some_neurons_are_drawn_and_the_text_beside_it_has_the_whole_number() -> None:
    figure = raster_figure(lives_of(np.ones((3, 5000), bool)))
    assert len(figure.data[0].x) == 3 * MOST
    assert figure.layout.yaxis.ticktext == ("5000",)
