"""The statistics of one minibatch of outputs that may be negative, by hand."""

from types import SimpleNamespace

import torch

from hebbevo.rules.units.statistics import Covariance, FoldedMean, MeanSize, Minibatch, Variance

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


def test_variances_and_covariances_are_those_of_the_rows_of_each_minibatch():
    k = SimpleNamespace(memory=torch.tensor([0.5]))
    s = SimpleNamespace(
        sum_variance=torch.zeros(3), sum_covariance=torch.zeros(3, 3), sum_size=torch.zeros(3)
    )
    for rows in (Y, Y + 1000, Y[:1]):  # what moves from one minibatch to the next does not count
        for statistic in (Variance(), Covariance(), MeanSize()):
            statistic.add(k, s, None, Minibatch(rows, rows.abs()))
    expected = torch.cov(Y.T, correction=0) * (0.25 + 0.5)
    torch.testing.assert_close(s.sum_covariance, expected)
    torch.testing.assert_close(s.sum_variance, expected.diagonal())
    size = 0.25 * Y.abs().mean(0) + 0.5 * (Y + 1000).abs().mean(0) + Y[0].abs()
    torch.testing.assert_close(s.sum_size, size)


def test_covariances_of_a_stack_are_those_of_its_networks():
    y = torch.randn(2, 3, 7, 4, dtype=torch.float64)
    k = SimpleNamespace(memory=torch.full((2, 3, 1), 0.5))
    s = SimpleNamespace(sum_covariance=torch.ones(2, 3, 4, 4, dtype=torch.float64))
    Covariance().add(k, s, None, Minibatch(y, y))
    expected = torch.stack([torch.cov(rows.T, correction=0) for rows in y.flatten(0, 1)]).view(2, 3, 4, 4)
    torch.testing.assert_close(s.sum_covariance, 0.5 + expected)
