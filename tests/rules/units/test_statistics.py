"""The statistics of one minibatch of outputs that may be negative, by hand."""

import torch

from hebbevo.rules.units.statistics import FoldedMean, Minibatch

Y = torch.tensor([[1.0, -2.0, 0.0], [3.0, 2.0, 0.0], [0.0, -6.0, 0.0], [0.0, 2.0, 4.0]])


def test_sizes_and_firing_are_those_of_absolute_values_and_the_mean_is_signed():
    batch = Minibatch(Y, Y.abs())
    assert batch.mean.tolist() == [1.0, -1.0, 1.0]
    assert batch.mean_size.tolist() == [1.0, 3.0, 1.0]
    assert batch.square.tolist() == [2.5, 12.0, 4.0]
    assert batch.firing_rate.tolist() == [0.5, 1.0, 0.25]
    assert batch.fires.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1]]


def test_the_mean_size_of_outputs_that_are_never_negative_is_their_mean():
    positive = Y.abs()
    assert Minibatch(positive, positive).mean_size.tolist() == [1.0, 3.0, 1.0]


def test_the_folded_mean_moves_a_tenth_of_the_way_to_the_mean_of_each_minibatch():
    class State:
        mean_output = torch.zeros(3)

    for share in (0.1, 0.19):
        FoldedMean().add(None, State, None, Minibatch(Y, Y.abs()))
        torch.testing.assert_close(State.mean_output, share * Y.mean(0))
