"""Masked layers whose events are recorded with all that a rule decides by, or called by hand."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.nn import attach, masked
from hebbevo.nn.layer_connections import LayerConnections
from hebbevo.nn.surgery import rewire
from hebbevo.nn.wiring import Wiring, named_tensors

OUTPUTS, INPUTS = 5, 6


@dataclass
class Event:
    """An event of one layer.

    Attributes:
        step: at which it is, counted from 1.
        before: which connections are in before it, (outputs, inputs) bool.
        after: which are in after it.
        weight: before it, and after the optimiser's step.
        weight_after: after it.
        gradient: the last one of all weights, if the rule needs it.
        drawn: the random numbers of the event, by their stream.
        inputs: of the layer since the last event, (rows, inputs).
        outputs: likewise, (rows, outputs).
    """

    step: int
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    weight_after: np.ndarray
    gradient: np.ndarray | None
    drawn: dict[int, np.ndarray]
    inputs: np.ndarray
    outputs: np.ndarray


def array(tensor):
    return tensor.detach().numpy().copy()


def events_of(name, monkeypatch, steps=24, losses=None, **knobs):
    """The events of a short training in double precision, of a layer with six inputs and five outputs."""
    drawn, rows, at_step = {}, [], {}
    draw = LayerConnections.draw

    def recording(self, stream):
        found = draw(self, stream)
        drawn[stream] = array(found)
        return found

    monkeypatch.setattr(LayerConnections, "draw", recording)
    torch.manual_seed(0)
    layer = masked(name, nn.Linear(INPUTS, OUTPUTS), seed=1, **knobs)
    net = nn.Sequential(layer, nn.ReLU(), nn.Linear(OUTPUTS, 3)).double()
    [state] = layer.connections
    layer.module.register_forward_hook(lambda _, x, y: rows.append((array(x[0]), array(y))))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def before_the_event(*_):
        gradient = array(state.gradient) if "gradient" in state._buffers else None
        at_step.update(before=array(state.connected), weight=array(layer.module.weight), gradient=gradient)

    optimizer.register_step_post_hook(before_the_event)
    attachment = attach(net, optimizer, total_steps=steps)
    events = []
    for step in range(1, steps + 1):
        x = torch.randn(8, INPUTS).double()
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), torch.randint(3, (8,)))
        loss.backward()
        if losses is not None:
            attachment.observe(losses[step - 1])
        drawn.clear()
        optimizer.step()
        if layer.is_event(layer.steps):
            inputs, outputs = map(np.concatenate, zip(*rows, strict=True))
            after = {"after": array(state.connected), "weight_after": array(layer.module.weight)}
            events.append(Event(step, **at_step, **after, drawn={**drawn}, inputs=inputs, outputs=outputs))
            rows.clear()
    return events


def highest(score, number, among):
    """The places of the highest scores, written as one would on paper."""
    places = sorted(zip(*np.nonzero(among), strict=True), key=lambda place: -score[place])
    found = np.zeros_like(among)
    for place in places[: int(number)]:
        found[place] = True
    return found


def assert_entering_weights(event, expected):
    """Check that connections that enter have these weights, no other changes, and the rest is zero."""
    entered = event.after & ~event.before
    wanted = np.where(entered, expected, event.weight)
    np.testing.assert_array_equal(event.weight_after, np.where(event.after, wanted, 0))


def fresh_weights(event):
    """Weights drawn as at the start."""
    return (2 * event.drawn[2] - 1) * np.float32(np.sqrt(6 / INPUTS))


class EightWeights:
    """A layer of four inputs and two outputs, whose weights, gradients and random numbers a test gives.

    Masks are texts: "1100 0011" for the first two inputs of the first output and the last two of the second.
    """

    def __init__(self, name, monkeypatch, mask=None, total=100, **knobs):
        self.numbers = {}
        monkeypatch.setattr(LayerConnections, "draw", lambda _, stream: self.numbers[stream])
        self.numbers[0] = torch.tensor([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]])
        self.layer = masked(name, nn.Linear(4, 2, bias=False), seed=1, **knobs)
        self.layer.begin(total)
        [(_, _, self.connections)] = Wiring(self.layer).layer_connections(named_tensors(self.layer))
        if mask is not None:
            self.connections.mask.copy_(matrix(mask.replace(" ", "")).bool())

    @property
    def mask(self):
        return " ".join("".join(str(int(each)) for each in row) for row in self.connections.mask)

    def event(self, step, weights=None, gradient=None, draws=None):
        """Let the rule have an event; gives the mask after it."""
        self.layer.steps.fill_(step)
        assert self.layer.is_event(self.layer.steps)
        if weights is not None:
            self.connections.weight.copy_(torch.tensor(weights))
        if gradient is not None:
            self.connections.tensors["gradient"].copy_(torch.tensor(gradient))
        if draws is not None:
            self.numbers[1] = self.numbers[2] = torch.tensor(draws)
        rewire(self.connections, torch.tensor(True))
        return self.mask


def matrix(text):
    return torch.tensor([float(each) for each in text]).reshape(2, 4)
