"""Plastic modules: knobs as buffers, needs and their reasons, and losses added in a backward pass."""

import copy

import pytest
import torch
from torch import nn
from torch.func import vmap

from hebbevo.errors import UsageError
from hebbevo.nn import Dense, HebbMask, InputStamina, Plastic, Stamina, plastic_modules, plastic_units
from hebbevo.nn.plastic import InjectedLoss, longest_settling
from hebbevo.rules.rule import Asked, Need, Rule
from hebbevo.space.knobs import Knob, table


def penalty(weight):
    return 3 * (weight**3).sum()


def test_an_injected_loss_leaves_the_output_as_it_is():
    output = torch.randn(4, 3)
    assert torch.equal(InjectedLoss.apply(output, torch.tensor(7.0)), output)


def test_an_injected_loss_adds_its_gradient_as_if_it_had_been_added_to_the_loss():
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, 3, dtype=torch.float64)

    injected = InjectedLoss.apply(x * weight, penalty(weight)).square().sum()
    summed = (x * weight).square().sum() + penalty(weight)

    torch.testing.assert_close(
        torch.autograd.grad(injected, weight), torch.autograd.grad(summed, weight), rtol=1e-12, atol=0
    )


def test_an_injected_loss_counts_once_for_each_net_of_a_stack():
    weights = torch.randn(5, 3, requires_grad=True)
    x = torch.randn(4, 3)

    def loss(weight):
        return InjectedLoss.apply(x * weight, penalty(weight)).square().sum()

    (stacked,) = torch.autograd.grad(vmap(loss)(weights).sum(), weights)
    solo = torch.stack([torch.autograd.grad(loss(weight), weight)[0] for weight in weights.unbind()])
    torch.testing.assert_close(stacked, solo)


def test_plastic_modules_are_found_at_any_depth_in_order_of_definition():
    inner = nn.Sequential(nn.Linear(2, 3), Stamina(3))
    net = nn.ModuleDict({"first": InputStamina(2), "inner": inner, "last": Stamina(4)})
    assert plastic_modules(net) == {"first": net["first"], "inner.1": inner[1], "last": net["last"]}


def test_plastic_units_are_those_with_a_unit_rule():
    net = nn.Sequential(InputStamina(2), HebbMask(nn.Linear(2, 3), ["weight"]), Dense(3))
    assert list(plastic_modules(net)) == ["0", "1", "2"]
    assert plastic_units(net) == {"0": net[0], "2": net[2]}


# knobs


class Own(Rule):
    """A rule with a knob of every kind."""

    name = "own"
    knobs = table(
        Knob("rate", float, 0.25, "a rate", low=0.0, high=1.0),
        Knob("period", int, 3, "a period", low=1),
        Knob("switch", bool, False, "a switch", choices=(False, True)),
        Knob("form", str, "mean", "a form", choices=("sum", "mean")),
    )
    can_need = frozenset(Need)
    needs = {  # noqa: RUF012
        Need.MEAN: (),
        Need.LOSS: (Asked("rate"), Asked("form", "sum")),
        Need.INCOMING: (Asked("switch", True), Asked("form", "sum")),
        Need.EXCLUSIVE: (Asked("form", "mean"),),
    }

    def is_event(self, k, step, total):
        return step % k.period == 0


def plastic(**knobs):
    module = Plastic(Own(), seed=7)
    module.configure(**knobs)
    return module


def test_knobs_are_buffers_of_their_kind_with_the_number_of_the_choice():
    buffers = dict(plastic().named_buffers())
    assert {name: (value.dtype, value.item()) for name, value in buffers.items()} == {
        "steps": (torch.int64, 0),
        "total_steps": (torch.int64, 0),
        "seed": (torch.int64, 7),
        "rate": (torch.float32, 0.25),
        "period": (torch.int64, 3),
        "switch": (torch.bool, False),
        "form": (torch.int64, 1),
    }


def test_configure_sets_in_place_what_is_named_and_nothing_else():
    module = plastic(rate=0.5)
    buffers = dict(module.named_buffers())
    module.configure(form="sum", period=7.0, switch=True)
    values = {name: value.item() for name, value in buffers.items()}
    assert values == dict(steps=0, total_steps=0, seed=7, rate=0.5, period=7, switch=True, form=0)
    assert all(value is buffers[name] for name, value in module.named_buffers())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        (dict(rate=0.75, raet=1), "Plastic: unknown knob 'raet'; did you mean rate?"),
        (dict(rate=0.75, xyz=1), "Plastic: unknown knob 'xyz'; known: rate, period, switch, form"),
        (
            dict(rate=0.75, period=0),
            "Plastic: period: 0 is outside its range; write a whole number of 1 or more",
        ),
        (dict(rate=0.75, form="max"), "Plastic: form: 'max' is not one of sum, mean; write one of them"),
    ],
)
def test_configure_with_a_mistake_sets_nothing(knobs, line):
    module = plastic()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(UsageError) as caught:
        module.configure(**knobs)
    assert str(caught.value) == line
    assert module.state_dict() == before


def test_begin_sets_the_length_of_the_training():
    module = plastic()
    module.begin(12)
    assert module.total_steps == 12


def test_a_module_has_its_events_when_its_rule_says_so():
    assert plastic(period=2).is_event(torch.arange(1, 6)).tolist() == [False, True, False, True, False]


def test_without_a_seed_pytorchs_generator_decides():
    seeds = []
    for _ in range(2):
        torch.manual_seed(3)
        seeds += [int(Plastic(Own(), None).seed), int(Plastic(Own(), None).seed)]
    assert seeds[:2] == seeds[2:]
    assert seeds[0] != seeds[1]


# needs


@pytest.mark.parametrize(
    ("knobs", "reasons"),
    [
        ({}, {Need.MEAN: "own", Need.LOSS: "rate", Need.EXCLUSIVE: "form=mean"}),
        (
            dict(rate=0.0, switch=True),
            {Need.MEAN: "own", Need.INCOMING: "switch", Need.EXCLUSIVE: "form=mean"},
        ),
        (
            dict(form="sum", switch=True),
            {Need.MEAN: "own", Need.LOSS: "rate, form=sum", Need.INCOMING: "switch, form=sum"},
        ),
    ],
    ids=["defaults", "one", "both"],
)
def test_every_need_has_the_knobs_that_ask_for_it_as_its_reason(knobs, reasons):
    module = plastic(**knobs)
    assert {need: module.reason_for(need) for need in Need if module.reason_for(need)} == reasons


def test_unmet_describes_only_needs_that_layers_around_the_module_can_meet():
    module = plastic(switch=True)
    assert module.unmet({Need.INCOMING, Need.EXCLUSIVE}) == ""
    feeds = "switch needs a layer that feeds the units and nothing else, and none is found"
    assert module.unmet({Need.EXCLUSIVE}) == feeds
    reads = (
        "form=mean needs layers that read these units by weights which nothing else uses, and none is found"
    )
    assert module.unmet(()) == f"{feeds}, {reads}"


def test_the_longest_settling_phase_of_all_modules_counts():
    net = nn.Sequential(Stamina(3, settle=0.25), HebbMask(nn.Linear(3, 2), ["weight"], settle=0.5), Dense(2))
    assert longest_settling(net) == 0.5
    assert longest_settling(nn.Sequential(plastic())) == 0  # its rule has no settling phase
    assert longest_settling(nn.Linear(2, 2)) == 0


def test_a_copy_of_an_attached_module_is_not_attached():
    module = plastic()
    module.attached = True
    assert not copy.deepcopy(module).attached
