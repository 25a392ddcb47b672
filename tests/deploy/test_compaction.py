"""A compact network has the outputs of the masked one, and needs no hebbevo."""

import copy
import itertools
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import hebbevo
from hebbevo.deploy.compaction import Compaction, NotEqual
from hebbevo.deploy.sparse import with_sparse_layers
from hebbevo.errors import UsageError
from hebbevo.nn import Dense, HebbMask, PlasticConnections, PlasticUnits, Stamina, attach
from tests.deploy.conftest import NETWORKS, keep_alive, network
from tests.nn.liveness.test_flow import EXACT, SAFE, random_net
from tests.nn.test_wiring_random_nets import SquareNet
from tests.nn.unit_labels.test_random_nets import RandomNet

SHARES = [1.0, 0.5, 0.1, 0.01, 0.0]


def parameters(net):
    return sum(each.numel() for each in net.parameters())


def compacted(net, x):
    """The compact network, whatever it has to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hebbevo.compact(net, x)


def assert_same(compact, net, x):
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(
            compact(x), expected, rtol=0, atol=1e-4 * max(1.0, float(expected.abs().max()))
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_on_rows_it_has_never_seen_the_compact_network_has_the_outputs_of_the_masked_one(name):
    sizes = []
    for share in SHARES:
        net, x = network(name, share)
        compact = compacted(net, x)
        assert_same(compact, net, torch.randn(50, *x.shape[1:]))
        assert not any(isinstance(each, PlasticUnits | PlasticConnections) for each in compact.modules())
        sizes.append(parameters(compact))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


WHOLLY_CUT = [name for name in NETWORKS if name not in ("residual", "grouped", "shared layer", "ResNet-18")]


@pytest.mark.parametrize("name", WHOLLY_CUT)
def test_where_units_leave_alone_all_that_is_left_is_alive(name):
    net, x = network(name, 0.3)
    if name == "depthwise":  # the same channels on both sides
        net[2].alive.copy_(net[5].alive)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compact = hebbevo.compact(net, x)
    before, after = hebbevo.count(net, x).loc["total"], hebbevo.count(compact, x).loc["total"]
    assert after.neurons == after.neurons_alive == before.neurons_alive
    assert after.connections_alive == before.connections_alive


def test_the_numbers_of_parameters_are_those_of_the_widths_that_are_left():
    net, x = network("mlp", 0.1)  # 36 - 4 - 3 - 5
    assert parameters(compacted(net, x)) == 37 * 4 + 5 * 3 + 4 * 5
    net, x = network("conv with batch norm", 0.25)  # 2 - 5 - 6 channels, then 3 x 3 positions, 4, 5
    assert parameters(compacted(net, x)) == 9 * 2 * 5 + 2 * 5 + 9 * 5 * 6 + 2 * 6 + 55 * 4 + 5 * 5
    net, x = network("depthwise", 0.5)
    net[2].alive.copy_(net[5].alive)  # 3 - 12 - 12 - 8 channels
    assert parameters(compacted(net, x)) == 27 * 12 + 24 + 9 * 12 + 24 + 13 * 8 + (8 * 16 + 1) * 4
    net, x = network("transformer encoder", 0.1)
    assert parameters(net) - parameters(compacted(net, x)) == 2 * 36 * (16 + 1 + 16)


def test_a_network_without_any_living_unit_is_the_bias_of_its_last_layer():
    net, x = network("mlp", 0.0)
    compact = compacted(net, x)
    assert [type(each).__name__ for each in compact] == ["Flatten", "Select", "Linear"]
    assert parameters(compact) == 5
    assert_same(compact, net, x)


@torch.no_grad()
def drawn(kind, seed):
    """A network drawn at random, with a random share of units, connections, rows and columns set to zero."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    if kind == "branches":
        net, x = random_net(seed, EXACT | SAFE)
        return net, x
    if kind == "square":
        net = SquareNet(seed)
        shape = net.example.shape[1:]
    else:
        net = RandomNet(draw)
        shape = (4, 4) if net.conv or draw.random() < 0.5 else (4,)
        net(torch.zeros(3, *shape))  # builds the layers
    keep_alive(net, draw.choice([1.0, 0.5, 0.3, 0.1, 0.0]))
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            module.weight.normal_()
            if draw.random() < 0.4:
                module.weight[torch.rand(len(module.weight)) < draw.choice([0.2, 0.6, 1.0])] = 0
            elif draw.random() < 0.3:
                module.weight[:, torch.rand(module.weight.shape[1]) < 0.4] = 0
    return net.eval(), torch.randn(20, *shape)


SEEDS = {"branches": 12, "square": 20, "chain": 40}
"""How many networks of each kind are drawn: those with branches are large."""


@pytest.mark.parametrize("kind", SEEDS)
def test_random_masks_on_random_architectures(kind):
    smaller = 0
    for seed in range(SEEDS[kind]):
        net, x = drawn(kind, seed)
        compact = compacted(net, x)
        assert_same(compact, net, torch.randn_like(x))
        smaller += parameters(compact) < parameters(net)
    assert smaller > SEEDS[kind] / 4


def few_connections():
    layer = nn.Linear(500, 300).requires_grad_(False)
    layer.weight.mul_(torch.rand(300, 500) < 0.01)
    return layer


LOAD = """
import sys, torch
sys.modules["hebbevo"] = None  # so that importing it fails
for name, module, state, x, y in torch.load(sys.argv[1], weights_only=False):
    torch.testing.assert_close(module(x), y, rtol=1e-5, atol=1e-5)
    module.load_state_dict(state)
    torch.testing.assert_close(module(x), y, rtol=1e-5, atol=1e-5)
    print(name)
"""


def test_a_process_that_cannot_import_hebbevo_loads_what_was_saved(tmp_path: Path):
    saved = []
    for name in NETWORKS:
        net, x = network(name, 0.3)
        compact = compacted(net, x)
        saved.append((name, compact, compact.state_dict(), x, net(x).detach()))
    sparse, x = with_sparse_layers(nn.Sequential(few_connections(), nn.ReLU())), torch.randn(5, 500)
    saved.append(("sparse", sparse, sparse.state_dict(), x, sparse(x)))
    torch.save(saved, tmp_path / "nets.pt")
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, tmp_path / "nets.pt"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split("\n")[:-1] == [*NETWORKS, "sparse"], run.stderr


@pytest.mark.parametrize("name", ["mlp with input stamina", "residual", "conv with batch norm"])
def test_torch_export_takes_it_with_any_number_of_rows(name):
    net, x = network(name, 0.3)
    rows = torch.export.Dim("rows", min=2)
    exported = torch.export.export(compacted(net, x), (x,), dynamic_shapes=({0: rows},))
    more = torch.randn(33, *x.shape[1:])
    torch.testing.assert_close(exported.module()(more), net(more), rtol=1e-4, atol=1e-4)


def test_the_network_itself_is_left_as_it_was_also_while_it_is_attached():
    net, x = network("residual", 0.5)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    attach(net, optimizer, example=x)
    state = copy.deepcopy(net.state_dict())
    compact = compacted(net, x)
    assert net.training and not compact.training
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)
    net(x).square().mean().backward()
    optimizer.step()
    assert_same(compacted(net, x), net.eval(), x)


def test_a_compact_network_can_be_trained_and_compacted_again():
    net, x = network("conv with batch norm", 0.5)
    compact = compacted(net, x).train()
    optimizer = torch.optim.SGD(compact.parameters(), lr=0.01)
    compact(x).square().mean().backward()
    optimizer.step()
    again = compacted(compact.eval(), x)
    assert parameters(again) == parameters(compact)
    assert_same(again, compact, x)


def test_what_a_dead_unit_adds_is_in_the_next_bias():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.5, 3.0]))
        net[2].weight.copy_(torch.tensor([[1.0, 10.0]]))
        net[2].bias.fill_(7.0)
    compact = hebbevo.compact(net, torch.randn(8, 2))
    assert (compact[0].weight.tolist(), compact[0].bias.tolist()) == ([[1.0, 2.0]], [0.5])
    assert (compact[2].weight.tolist(), compact[2].bias.tolist()) == ([[1.0]], [37.0])


def behind_norm(padding):
    """A dead channel whose norm makes a constant of it, before a convolution without a bias."""
    net = nn.Sequential(
        nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, padding=padding, bias=False)
    )
    with torch.no_grad():
        net[0].weight[0] = 0
        net[1].bias.fill_(2.0)
    return net.eval()


def test_the_constant_of_a_norm_goes_into_a_bias_that_is_made_for_it():
    net, x = behind_norm(0), torch.randn(4, 1, 6, 6)
    compact = hebbevo.compact(net, x)
    assert compact[2].weight.shape == (2, 2, 3, 3)
    assert bool((compact[2].bias != 0).all())
    assert_same(compact, net, torch.randn(9, 1, 6, 6))


def test_a_constant_before_a_border_of_zeros_stays_and_is_named():
    net, x = behind_norm(1), torch.randn(4, 1, 6, 6)
    with pytest.warns(UserWarning, match="0: 1 dead unit stays .it is a constant that no bias can take up."):
        compact = hebbevo.compact(net, x)
    assert compact[2].weight.shape == (2, 3, 3, 3)
    assert_same(compact, net, torch.randn(9, 1, 6, 6))


def test_units_that_a_residual_sum_adds_to_living_ones_stay_and_are_named():
    net, x = network("residual")
    net.units.alive[:5] = False
    net.sum_units.alive[:3] = False
    left = Compaction.of(net, x).left
    assert left == {"first": "2 dead units stay (it leaves only with units that are alive)"}
    compact = compacted(net, x)
    assert (compact.first.out_features, compact.block[2].out_features) == (17, 17)
    with pytest.warns(UserWarning, match="first: 2 dead units stay"):
        hebbevo.compact(net, x)


def test_a_mask_over_connections_alone_becomes_zeros_and_whole_rows_leave():
    net = nn.Sequential(HebbMask(nn.Linear(4, 3), ["weight"]), nn.ReLU(), nn.Linear(3, 2))
    connected = net[0].connections[0].connected
    connected[0] = False
    connected[1, :2] = False
    compact = hebbevo.compact(net, torch.randn(6, 4))
    weight = net[0].module.weight.detach().clone()
    weight[1, :2] = 0
    assert torch.equal(compact[0].weight, weight[1:])


def test_weights_that_are_computed_become_parameters_and_what_prune_has_pruned_is_cut():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), parametrizations.weight_norm(nn.Linear(6, 2)))
    prune.ln_structured(net[0], "weight", 2, n=2, dim=0)
    with torch.no_grad():
        net[0].bias.zero_()
    net(torch.randn(3, 4))  # after which it holds a tensor that was computed
    compact = hebbevo.compact(net, torch.randn(6, 4))
    assert {name: [*each.shape] for name, each in compact.named_parameters()} == {
        "0.weight": [4, 4], "0.bias": [4], "2.weight": [2, 4], "2.bias": [2]
    }  # fmt: skip
    assert_same(compact, net, torch.randn(9, 4))


class Recurrent(nn.Module):
    """Units that a layer reads which is not followed."""

    def __init__(self):
        super().__init__()
        self.layer, self.units, self.lstm = nn.Linear(4, 6), Stamina(6), nn.LSTM(6, 3, batch_first=True)

    def forward(self, x):
        return self.lstm(self.units(self.layer(x)))[0]


def test_units_before_a_layer_that_is_not_followed_stay_and_are_named():
    net, x = Recurrent(), torch.randn(3, 5, 4)
    net.units.alive[:2] = False
    with pytest.warns(UserWarning, match="layer: 2 dead units stay .an output, or a function that mixes"):
        assert_same(hebbevo.compact(net, x), net, x)


class CountsOnSizes(nn.Module):
    """Its forward has the number of units of one layer in it."""

    def __init__(self):
        super().__init__()
        self.one, self.units, self.two = nn.Linear(4, 6), Stamina(6), nn.Linear(6, 6)
        self.more, self.head = Stamina(6), nn.Linear(6, 2)

    def forward(self, x):
        y = self.units(self.one(x)).view(-1, 2, 3).flatten(1)
        return self.head(self.more(self.two(y)))


def test_a_layer_on_whose_size_code_of_the_user_counts_stays_and_the_others_are_cut():
    net, x = CountsOnSizes(), torch.randn(5, 4)
    net.units.alive[0] = net.more.alive[0] = False
    compaction = Compaction.of(net, x)
    assert [*compaction.left] == ["one"]
    assert "it does not run" in compaction.left["one"]
    assert (compaction.module.one.out_features, compaction.module.two.out_features) == (6, 5)
    assert_same(compaction.module, net, torch.randn(9, 4))


class Decides(nn.Module):
    """Its path depends on values."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), Stamina(6), nn.Linear(6, 2))

    def forward(self, x):
        return self.layers(x) if x.sum() > 1e9 else self.layers(-x)


def test_a_network_that_cannot_be_followed_becomes_plain_and_nothing_is_cut():
    net, x = Decides(), torch.randn(5, 4)
    net.layers[1].alive[:4] = False
    with pytest.warns(UserWarning, match="compact: Decides: nothing is cut .*keep data-dependent"):
        compact = hebbevo.compact(net, x)
    assert [type(each).__name__ for each in compact.layers] == ["Linear", "Sequential", "Linear"]
    assert_same(compact, net, torch.randn(9, 4))


CALLS = itertools.count()


class Noisy(nn.Module):
    """Its outputs are other ones at every call."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x) + next(CALLS)  # shared by its copies, so no two calls agree


class OwnUnits(Stamina):
    """Units with a forward of their own."""

    def forward(self, x):
        return super().forward(x) * 2


class Listed(nn.Module):
    """Keeps its units in a list that PyTorch does not know."""

    def __init__(self):
        super().__init__()
        self.layer, self.units = nn.Linear(4, 3), [Stamina(3)]

    def forward(self, x):
        return self.units[0](self.layer(x))


@pytest.mark.parametrize(
    "net, x, message",
    [
        (Noisy(), torch.ones(2, 4), "let forward depend on its inputs alone"),
        (nn.Linear(4, 2), torch.ones(2, 5), "Linear: does not run on the example"),
        (nn.Linear(4, 2), None, "given Linear and NoneType; give a module"),
        (
            nn.Sequential(nn.Linear(4, 3), OwnUnits(3)),
            torch.ones(2, 4),
            "1: its class OwnUnits has a forward",
        ),
        (Listed(), torch.ones(2, 4), "a Stamina is left, which only hebbevo can run"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(net, x, message):
    with pytest.raises((UsageError, NotEqual)) as caught:
        hebbevo.compact(net, x)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("compact: ")
    assert message in line


def test_a_dense_layer_is_a_relu():
    assert str(hebbevo.compact(nn.Sequential(nn.Linear(4, 3), Dense(3)), torch.ones(2, 4))[1]) == "ReLU()"
