"""The contribution rule by hand and against its published arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.nn import PlasticUnits, attach
from hebbevo.rules import UNITS
from tests.rules.conftest import (
    assert_lowest_leave,
    covariance_of,
    deaths_of,
    hand_drawn,
    over_mean,
    trained_events,
)


def test_units_leave_in_the_order_of_their_spread_times_the_weights_that_read_them():
    events = hand_drawn("contribution")
    assert deaths_of(events) == "dca"  # the twins a and b stay longest
    spread = np.array([0, 2, 1, 1.6875**0.5])
    assert events[0].scores == pytest.approx(spread * [10, 1, 3, 1] / (spread @ [10, 1, 3, 1]) * 4)
    assert events[2].scores == pytest.approx([0, 2 / 2.5, 3 / 2.5, 0])


@pytest.mark.parametrize("memory", [0.5, 1.0])
def test_scores_are_those_of_the_equation_at_every_event(memory):
    events = trained_events("contribution", memory=memory)
    assert len(events) == 4
    for event in events:
        spread = np.sqrt(np.diag(covariance_of(event)))
        expected = over_mean(spread * event.outgoing, event)
        assert event.scores == pytest.approx(expected, rel=1e-9)
        assert_lowest_leave(event, expected)


def test_the_units_themselves_give_their_score_with_the_outgoing_weights_of_the_last_event():
    units = PlasticUnits(UNITS["contribution"], 3, target=2, events=1, warmup=0)
    net = nn.Sequential(nn.Linear(3, 3), units, nn.Linear(3, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(net, optimizer, total_steps=1)
    rows = net[0](torch.randn(9, 3)).relu().detach()
    units(rows)
    expected = rows.std(0, correction=0) * net[2].weight.norm(dim=0)
    assert units.score.tolist() == pytest.approx((expected / expected.mean()).tolist())


def test_below_a_threshold_only_units_leave_that_have_no_effect():
    events = hand_drawn("contribution", schedule="threshold", prune_period=1, min_neurons=0, max_deaths=1.0)
    assert [event.after.tolist() for event in events] == [[False, True, True, True]] * 3
