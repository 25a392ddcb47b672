"""The parts of a network: layers under credit rules, and noise and penalties where genes put them."""

import pytest
import torch
from torch import nn

import hebbevo
from hebbevo.errors import SpaceError
from hebbevo.networks import Architecture
from hebbevo.nn import ActivationNoise, FlowPenalty, Stamina, StructuredNoise
from hebbevo.nn.mlp_layout import mlp_layout
from hebbevo.spec import read

MLP = Architecture("mlp", (6, 6), "stamina", False, (1, 8, 8), 10)
CONV = Architecture("conv", (6, 6), "stamina", False, (1, 8, 8), 10, (4, 4))
NONE = {
    "input_noise": 0.0, "additive_noise": 0.0, "multiplicative_noise": 0, "structured_noise": 0,
    "flow_length": 0.0, "flow_curvature": 0.0,
}  # fmt: skip
ALL = {name: 0.1 for name in NONE}


def regularizers(net):
    kinds = (ActivationNoise, StructuredNoise, FlowPenalty)
    return {name: type(each) for name, each in net.named_modules() if isinstance(each, kinds)}


@pytest.mark.parametrize("family", [MLP, CONV], ids=["mlp", "conv"])
def test_at_zero_a_network_is_the_one_without_the_genes(family):
    plain, zero = family.build({}, 1), family.build(NONE, 1)
    assert str(plain) == str(zero)
    assert all(torch.equal(value, zero.state_dict()[name]) for name, value in plain.state_dict().items())
    assert regularizers(zero) == {}


def test_a_network_without_noise_is_still_one_that_the_compact_stack_trains():
    assert mlp_layout(MLP.build(NONE, 1)) is not None
    assert mlp_layout(MLP.build({"structured_noise": 0.1}, 1)) is None


def test_added_noise_is_before_the_units_and_multiplied_noise_behind_them():
    net = MLP.build({"additive_noise.1": 0.5, "multiplicative_noise.2": 0.2, "structured_noise.2": 0.1}, 1)
    assert [type(each) for each in net.units[0]] == [ActivationNoise, Stamina]
    assert [type(each) for each in net.units[1]] == [Stamina, ActivationNoise, StructuredNoise]
    assert net.units[0][0].additive_noise.item() == 0.5
    assert net.units[1][1].multiplicative_noise.item() == pytest.approx(0.2)
    assert net.units[1][2].structured_noise.item() == pytest.approx(0.1)


@pytest.mark.parametrize("family", [MLP, CONV], ids=["mlp", "conv"])
def test_all_of_them_train_and_are_gone_in_evaluation_and_in_a_compact_network(family):
    net, plain = family.build(ALL, 1), family.build({}, 1)
    assert len(regularizers(net)) == 2 + 3 * len((*family.channels, *family.hidden))
    x = torch.rand(8, 1, 8, 8)
    net(x).square().mean().backward()
    assert all(torch.isfinite(each.grad).all() for each in net.parameters())
    net, plain = family.build(ALL, 1).eval(), plain.eval()
    torch.testing.assert_close(net(x), plain(x))
    assert hebbevo.count(net).loc["total"].equals(hebbevo.count(plain).loc["total"])
    small = hebbevo.compact(net, x)
    assert [type(each) for each in small] == [type(each) for each in hebbevo.compact(plain, x)]


def test_dead_units_send_no_noise_to_the_next_layer():
    net = MLP.build({**ALL, "flow_length": 0.0, "flow_curvature": 0.0}, 1)
    units = net.units[0][1]
    units.alive[2:] = False
    units.configure(warmup=10)
    net(torch.rand(8, 1, 8, 8)).square().mean().backward()
    assert not net.layers[1].weight.grad[:, 2:].any()
    assert net.layers[1].weight.grad[:, :2].any()


def test_networks_have_noise_of_their_own_and_flow_only_where_widths_agree():
    one, other = (MLP.build({"structured_noise": 0.1}, seed) for seed in (1, 100_000))
    assert len({units[1].seed.item() for net in (one, other) for units in net.units}) == 4
    assert MLP.build({"flow_length": 0.1, "hidden": [6, 5]}, 1).flow is None
    assert isinstance(MLP.build({"flow_length": 0.1, "hidden": [5, 5]}, 1).flow, FlowPenalty)


SPACE = """version: 1
name: noisy
task: {{dataset: digits}}
network: {{hidden: [8, 8], settings: {{structured_noise: 0.1}}}}
genome:
  unactivation_penalty: {{low: 1e-2, high: 100, log: true}}
  {gene}: {{low: {low}, high: 1.0}}
"""


@pytest.mark.parametrize("gene", ["input_noise", "additive_noise", "multiplicative_noise.2", "flow_length"])
def test_every_one_may_be_a_gene(gene, tmp_path):
    path = tmp_path / "noisy.yaml"
    path.write_text(SPACE.format(gene=gene, low=0.0))
    assert gene in read(path).genome


@pytest.mark.parametrize(
    ("gene", "low", "message"),
    [
        ("additive_noise", -1.0, "write a number of 0 or more"),
        ("structured_noise.3", 0.0, "there is no layer 3"),
        ("input_noise.1", 0.0, "input_noise.1"),
    ],
)
def test_a_value_or_a_layer_that_cannot_be_is_refused(gene, low, message, tmp_path):
    path = tmp_path / "noisy.yaml"
    path.write_text(SPACE.format(gene=gene, low=low))
    with pytest.raises(SpaceError, match=message):
        read(path)


def test_own_networks_take_the_same_genes_through_their_modules():
    net = nn.Sequential(nn.Linear(3, 4), ActivationNoise(), StructuredNoise(0.0))
    names = {name for module in net if hasattr(module, "knobs") for name in module.knobs}
    assert names == {"additive_noise", "multiplicative_noise", "structured_noise", "noise_ridge"}


def shares(settings):
    """From where to where in the training each hidden layer learns."""
    net = Architecture("mlp", (8, 6, 4), "dense", False, (5,), 3, credit="softhebb").build(settings, 0)
    layers = [layer.credit for layer in net.layers]
    return [(pytest.approx(float(each.learns_from)), float(each.learns_until)) for each in layers]


def test_layers_learn_all_at_once_or_one_after_the_other():
    assert shares({}) == [(0, 0)] * 3
    assert shares({"greedy": True, "settle": 0.25}) == [
        (0, pytest.approx(0.25)), (0.25, pytest.approx(0.5)), (0.5, pytest.approx(0.75)),
    ]  # fmt: skip
    assert shares({"greedy": True, "learns_from.2": 0.0})[1] == (0, pytest.approx(2 / 3))


def test_the_head_learns_the_task():
    net = Architecture("mlp", (8,), "dense", False, (5,), 3, credit="hebbian").build({}, 0)
    assert [name for name, each in net.named_parameters() if each.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
