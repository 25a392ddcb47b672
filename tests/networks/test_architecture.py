"""Built-in networks: what settings and genes make of an architecture."""

from itertools import product

import numpy as np
import pytest
import torch

from hebbevo.networks import CONVOLUTIONAL, DEFAULT_RULES, FAMILIES, LAYERED, Architecture, largest
from hebbevo.nn import HebbMask, InputStamina, Stamina
from hebbevo.rules import AXES, CONNECTIONS, UNITS
from hebbevo.space import ChoiceGene, GeneError, IntGene, Space, expanded


def architecture(hidden=(4, 3), inputs=False, features=3, classes=2):
    return Architecture("mlp", hidden, "stamina", inputs, (features,), classes)


def same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_seed_alone_decides_the_net():
    first = architecture().build({}, 2**62 - 1)
    torch.manual_seed(3)
    torch.rand(4)
    assert same_state(architecture().build({}, 2**62 - 1), first)
    other = architecture().build({}, 12)
    assert not torch.equal(other.layers[0].weight, first.layers[0].weight)
    assert not torch.equal(other.head.weight, first.head.weight)


def test_knobs_do_not_change_the_initial_weights():
    plain, knobbed = (architecture().build(knobs, 5) for knobs in ({}, {"unactivation_penalty": 3.0}))
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), knobbed.parameters(), strict=True))
    assert [unit.unactivation_penalty.item() for unit in knobbed.units] == [3.0, 3.0]


def test_building_leaves_pytorchs_generator_as_it_was():
    before = torch.get_rng_state()
    architecture().build({}, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_knobs_of_the_optimiser_are_ignored_by_the_rules():
    net = architecture().build({"learning_rate": 0.1, "momentum": 0.5, "grace": 7}, 1)
    assert [unit.grace.item() for unit in net.units] == [7, 7]


def test_layers_units_and_seeds_follow_the_architecture():
    shape = architecture(hidden=(5, 4, 3), inputs=True, features=7, classes=2)
    net = shape.build({}, 40)
    assert shape.neurons == 12
    assert [tuple(layer.weight.shape) for layer in (*net.layers, net.head)] == [
        (5, 7),
        (4, 5),
        (3, 4),
        (2, 3),
    ]
    assert isinstance(net.inputs, InputStamina)
    assert all(isinstance(unit, Stamina) for unit in net.units)
    assert [unit.num_neurons for unit in (net.inputs, *net.units)] == [7, 5, 4, 3]
    assert [unit.seed.item() for unit in (net.inputs, *net.units)] == [40, 41, 42, 43]
    assert not any(layer.bias.any() for layer in (*net.layers, net.head))


def test_initial_weights_are_those_of_he():
    net = architecture(hidden=(400, 300), features=200).build({}, 0)
    for layer in net.layers:
        assert layer.weight.std().item() == pytest.approx((2 / layer.weight.shape[1]) ** 0.5, rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.002)


def test_the_forward_pass_is_that_of_a_masked_relu_network():
    net = architecture(inputs=True).build({}, 2).eval()
    net.inputs.alive[1] = False
    net.units[0].alive[2] = False
    x = torch.randn(6, 3)
    hidden = (net.layers[0](x * net.inputs.alive)).relu() * net.units[0].alive
    hidden = (net.layers[1](hidden)).relu()
    torch.testing.assert_close(net(x), net.head(hidden))


def test_every_rule_declares_knobs_with_defaults_in_their_range():
    for rule in (rule for rules in AXES.values() for rule in rules.values()):
        assert all(knob.problem(knob.default) is None for knob in rule.knobs.values())
        assert all(name == knob.name for name, knob in rule.knobs.items())


def test_every_family_has_knobs_with_defaults_in_their_range():
    for name, family in FAMILIES.items():
        assert all(knob.problem(knob.default) is None for knob in family.knobs.values())
        assert all(key == knob.name for key, knob in family.knobs.items())
        assert {axis: family.knobs[axis].choices for axis in AXES} == {
            axis: tuple(rules) for axis, rules in AXES.items()
        }
        assert {axis: family.knobs[axis].default for axis in AXES} == DEFAULT_RULES
        assert ("depth" in family.knobs, "channels" in family.knobs) == (name == "mlp", name in CONVOLUTIONAL)
    rules = [rule for known in AXES.values() for rule in known.values()]
    noise = {"additive_noise", "multiplicative_noise", "structured_noise", "noise_ridge"}
    pooling = {
        "kernel_size",
        "normalization",
        "output",
        "output_power",
        "output_winners",
        "pool",
        "pool_size",
    }
    own = {"channels", "hidden", "capacity", *AXES, *noise, *pooling}
    assert own.union(*(rule.knobs for rule in rules)) == LAYERED


@pytest.mark.parametrize(
    ("values", "hidden", "units"),
    [
        ({}, (6, 5, 4), "stamina"),
        ({"depth": 2}, (6, 5), "stamina"),
        ({"hidden": 9}, (9, 9, 9), "stamina"),
        ({"hidden": 9, "depth": 1, "units": "dense"}, (9,), "dense"),
        ({"depth": 4, "hidden": 9}, (9, 9, 9, 9), "stamina"),
        ({"depth": 2, "hidden.1": 3, "hidden.2": 8}, (3, 8), "stamina"),
        ({"hidden.2": 8}, (6, 8, 4), "stamina"),
        ({"depth": 1.0, "hidden": 9.0}, (9,), "stamina"),
    ],
)
def test_depth_widths_and_rules_come_from_the_values_else_from_the_architecture(values, hidden, units):
    shaped = architecture(hidden=(6, 5, 4)).shaped(values)
    assert (shaped.hidden, shaped.units) == (hidden, units)
    assert (shaped.connections, shaped.credit) == ("full", "backprop")
    assert all(type(width) is int for width in shaped.hidden)
    net = architecture(hidden=(6, 5, 4)).build(values, 3)
    assert [layer.out_features for layer in net.layers] == list(hidden)
    assert {isinstance(unit, Stamina) for unit in net.units} == {units == "stamina"}
    assert same_state(net, architecture(hidden=hidden).build({"units": units}, 3))


def test_rules_of_an_architecture_are_those_of_its_networks_but_for_genes():
    masked = Architecture("mlp", (4,), "dense", False, (3,), 2, (), "hebb_mask", "backprop")
    assert masked.shaped({}) == masked
    changed = masked.shaped({"connections": "full", "units": "stamina", "credit": "backprop"})
    assert (changed.units, changed.connections, changed.credit) == ("stamina", "full", "backprop")
    assert [masked.prunes(given) for given in ({}, {"connections": "full"}, {"units": "stamina"})] == [
        True,
        False,
        True,
    ]


def test_units_and_connections_follow_rules_of_their_own_in_one_network():
    values = {"connections": "hebb_mask", "settle": 0.25, "warmup.2": 9, "permanence_rate": 0.5, "grace": 3}
    net = architecture().build(values, 7)
    masks, units = [*net.layers, net.head], [*net.units]
    assert all(isinstance(mask, HebbMask) for mask in masks)
    assert all(isinstance(unit, Stamina) for unit in units)
    assert [mask.permanence_rate.item() for mask in masks] == [0.5, 0.5, 0.5]
    assert [unit.grace.item() for unit in units] == [3, 3]
    # a knob that both rules have is set for both
    assert [part.settle.item() for part in (*masks, *units)] == [0.25] * 5
    assert [part.warmup.item() for part in (*masks, *units)] == [0, 9, 9, 40, 9]
    alone = architecture().build({}, 7)
    x = torch.randn(5, 3)
    torch.testing.assert_close(net.eval()(x), alone.eval()(x))


def test_a_layer_uses_its_own_knobs_before_those_of_all_layers():
    values = {"grace": 7, "grace.1": 3, "handover.2": True, "unactivation_penalty": 2.0}
    net = architecture(hidden=(4, 3, 2), inputs=True).build(values, 1)
    assert [unit.grace.item() for unit in (net.inputs, *net.units)] == [7, 3, 7, 7]
    assert [unit.handover.item() for unit in (net.inputs, *net.units)] == [False, False, True, False]
    assert {unit.unactivation_penalty.item() for unit in net.units} == {2.0}


def test_a_dense_network_is_the_same_network_without_pruning():
    values = {"units": "dense", "settle": 0.25, "grace": 7}
    net = architecture(inputs=True).build(values, 3)
    assert not any(isinstance(unit, Stamina) for unit in net.units)
    assert [unit.settle.item() for unit in net.units] == [0.25, 0.25]
    pruned = architecture(inputs=True).build({}, 3)
    assert all(torch.equal(*pair) for pair in zip(net.parameters(), pruned.parameters(), strict=True))
    x = torch.randn(6, 3)
    torch.testing.assert_close(net(x), pruned.eval()(x))


def test_a_hebb_mask_network_masks_every_layer_and_starts_as_the_dense_one():
    dense = {"units": "dense"}
    values = {**dense, "connections": "hebb_mask", "permanence_rate": 0.3, "permanence_rate.2": 0.5}
    net, dense = (architecture(inputs=True).build(given, 3) for given in (values, dense))
    masks = [*net.layers, net.head]
    assert all(isinstance(mask, HebbMask) and mask.names == ("weight",) for mask in masks)
    rates = [mask.permanence_rate.item() for mask in masks]
    assert rates == pytest.approx([0.3, 0.5, 0.5])  # the output layer has the knobs of the last hidden layer
    x = torch.randn(6, 3)
    torch.testing.assert_close(net.eval()(x), dense.eval()(x))


@pytest.mark.parametrize(
    ("units", "connections"), [*product(UNITS, ["full"]), *product(["dense"], [*CONNECTIONS][1:])]
)
def test_rows_of_any_shape_are_flattened(units, connections):
    flat = architecture(features=12).build({"units": units, "connections": connections}, 3).eval()
    shape = (3, 2, 2)
    images = Architecture("mlp", (4, 3), units, False, shape, 2, connections=connections).build({}, 3).eval()
    x = torch.randn(5, 3, 2, 2)
    assert torch.equal(images(x), flat(x.flatten(1)))


DEPTH, DEEP = IntGene("depth", 1, 3), (("depth", (2, 3)),)
ADAMW = (("optimizer", ("adamw",)),)
OPTIMIZER = ChoiceGene("optimizer", ("adamw", "sgd"))


@pytest.mark.parametrize(
    ("genes", "repeats", "hidden"),
    [
        ([OPTIMIZER], {}, (6, 5, 4)),
        ([DEPTH], {}, (6, 5, 4)),
        ([IntGene("depth", 1, 2)], {}, (6, 5)),
        ([IntGene("depth", 1, 2, when=ADAMW), OPTIMIZER], {}, (6, 5, 4)),
        ([IntGene("hidden", 2, 9)], {}, (9, 9, 9)),
        ([IntGene("hidden", 2, 9, step=3)], {}, (8, 8, 8)),
        ([ChoiceGene("hidden", (3, 5, 1))], {}, (5, 5, 5)),
        ([ChoiceGene("depth", (4, 1)), IntGene("hidden", 2, 9, log=True)], {}, (9, 9, 9, 9)),
        ([IntGene("depth", 1, 4), IntGene("hidden", 1, 3)], {"hidden": "depth"}, (3, 3, 3, 3)),
        ([IntGene("hidden", 1, 3)], {"hidden": 3}, (3, 3, 3)),
        # without the gene, the architecture gives the width
        ([IntGene("hidden", 2, 9, when=ADAMW), OPTIMIZER], {}, (9, 9, 9)),
        ([IntGene("hidden", 2, 3, when=ADAMW), OPTIMIZER], {}, (6, 5, 4)),
        ([DEPTH, IntGene("hidden", 2, 3, when=DEEP)], {}, (3, 3, 3)),
        ([DEPTH, IntGene("hidden", 2, 9, when=(("depth", (1,)),))], {}, (6, 5, 4)),
        ([DEPTH, IntGene("hidden", 1, 3, when=ADAMW), OPTIMIZER], {"hidden": "depth"}, (6, 5, 4)),
        # as deep as the architecture, whose widths the genes for other layers do not replace
        (
            [IntGene("depth", 1, 2, when=ADAMW), IntGene("hidden", 1, 7), OPTIMIZER],
            {"hidden": "depth"},
            (6, 5, 4),
        ),
    ],
)
def test_the_largest_network_is_the_largest_that_a_genome_makes(genes, repeats, hidden):
    base, space = architecture(hidden=(6, 5, 4)), Space(expanded(genes, repeats))
    found = largest(base, space)
    assert found == architecture(hidden=hidden)
    shapes = {base.shaped(genome).hidden for genome in space.sample(3000, np.random.default_rng(0))}
    assert max(map(sum, shapes)) == found.neurons


def test_where_conditions_decide_on_widths_the_largest_network_is_a_bound():
    base = architecture(hidden=(6, 5, 4))
    space = Space((IntGene("hidden", 2, 5, when=ADAMW), OPTIMIZER))
    made = {base.shaped(genome).hidden for genome in space.sample(200, np.random.default_rng(0))}
    assert made == {(6, 5, 4), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5)}
    assert largest(base, space).hidden == (6, 5, 5)


@pytest.mark.parametrize(
    ("genes", "layer"),
    [
        ([IntGene("depth", 1, 4)], 4),
        ([IntGene("depth", 1, 5), IntGene("hidden", 2, 9, when=ADAMW), OPTIMIZER], 4),
        ([IntGene("depth", 1, 5), IntGene("hidden", 2, 9, when=(("depth", (4,)),))], 4),
    ],
)
def test_a_layer_without_a_width_is_refused(genes, layer):
    with pytest.raises(
        GeneError, match=rf"^depth: nothing says how wide layer {layer} is; write more widths"
    ):
        largest(architecture(hidden=(6, 5, 4)), Space(tuple(genes)))


# --- rules of single layers, and reserves ---


def test_a_layer_may_have_a_rule_of_its_own_with_knobs_of_its_own():
    net = architecture(hidden=(4, 3), inputs=True).build(
        {"units.0": "contribution", "units.1": "usage", "ridge": 0.05, "grace": 7, "grace.2": 3}, 1
    )
    assert [units.rule.name for units in (net.inputs, *net.units)] == ["contribution", "usage", "stamina"]
    assert float(net.units[0].ridge) == pytest.approx(0.05)
    assert [int(units.grace) for units in net.units] == [7, 3]


def test_a_layer_may_have_a_rule_for_connections_of_its_own():
    net = architecture(hidden=(4, 3)).build({"connections.2": "hebb_mask"}, 1)
    # the output layer has the rules of the last hidden layer
    assert [isinstance(layer, HebbMask) for layer in (*net.layers, net.head)] == [False, True, True]


def test_a_network_prunes_if_one_of_its_layers_does():
    dense = Architecture("mlp", (4, 3), "dense", False, (3,), 2)
    assert not dense.prunes({})
    assert dense.prunes({"units.2": "usage"})
    assert not dense.prunes({"units.3": "usage"})  # there is no such layer


@pytest.mark.parametrize("family", ["mlp", "conv"])
def test_a_layer_with_a_capacity_starts_with_its_width_and_has_a_reserve(family):
    shape, channels = ((1, 8, 8), (5,)) if family == "conv" else ((3,), ())
    small = Architecture(family, (4, 3), "stamina", False, shape, 2, channels)
    layer = len(channels) + 1
    net = small.build({"capacity": 10, f"capacity.{layer}": 2}, 1)
    alive = [units.alive for units in net.modules() if isinstance(units, Stamina)]
    widths = [*channels, 4, 3]
    assert [int(each.sum()) for each in alive] == widths
    assert [len(each) for each in alive] == [
        width if number == layer else 10 for number, width in enumerate(widths, start=1)
    ]
    x = torch.randn(6, *shape)
    assert net(x).shape == (6, 2)


def test_a_layer_that_is_never_pruned_has_no_reserve():
    net = architecture(hidden=(4, 3)).build({"units.1": "dense", "capacity": 10}, 1)
    assert [layer.out_features for layer in net.layers] == [4, 10]


def test_the_largest_network_of_a_space_has_its_reserves():
    space = Space((IntGene("capacity.2", 4, 32), IntGene("hidden.1", 4, 8)))
    assert largest(architecture(hidden=(4, 3)), space).hidden == (8, 32)
