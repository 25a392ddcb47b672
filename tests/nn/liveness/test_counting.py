"""Counts against numbers worked out by hand, and against networks cut down to what is alive."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.ao import quantization
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import HebbMask, InputStamina, Stamina
from hebbevo.nn.liveness.counting import count

NUMBERS = ["neurons", "connections", "parameters", "multiply_adds"]


def both(table, layer, of):
    """All and alive, ``None`` where there is no such number."""
    return tuple(
        None if value is table.dtypes[of].na_value else int(value)
        for value in table.loc[layer, [of, f"{of}_alive"]]
    )


def numbers(table, layer):
    return [both(table, layer, of) for of in NUMBERS]


def test_a_perceptron_by_hand():
    net = nn.Sequential(nn.Linear(4, 3), Stamina(3), nn.Linear(3, 2))
    net[1].alive[0] = False
    with torch.no_grad():
        net[0].weight[1, :2] = 0
        net[2].weight[0, 1] = 0
    table = count(net)
    assert list(table.index) == ["0", "2", "total"]
    assert table.index.name == "layer"
    assert list(table["kind"]) == ["Linear", "Linear", ""]
    assert numbers(table, "0") == [(3, 2), (12, 6), (15, 8), (12, 6)]
    assert numbers(table, "2") == [(None, None), (6, 3), (8, 5), (6, 3)]
    assert numbers(table, "total") == [(3, 2), (18, 9), (23, 13), (18, 9)]
    assert set(map(str, table.dtypes.drop("kind"))) == {"Int64"}
    assert table.attrs["notes"] == []


class ResNet(nn.Module):
    """A stem, a residual block with a depthwise and a grouped convolution, a pool and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.grouped = nn.Conv2d(4, 4, 1, groups=2)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = x + self.grouped(F.relu(self.depthwise(x)))
        return self.head(F.adaptive_avg_pool2d(x, 2).flatten(1))


def test_a_residual_net_by_hand():
    net = ResNet()
    with torch.no_grad():
        net.norm.weight[3] = 0
        net.grouped.weight[0] = 0  # of its group unit 1 alone now reads channels of the depthwise layer
        net.grouped.weight[1, 0] = 0
    table = count(net, torch.zeros(7, 3, 8, 8))
    # 4 x 4 positions behind the stride
    assert numbers(table, "stem") == [(4, 3), (108, 81), (108, 81), (1728, 1296)]
    assert numbers(table, "norm") == [(None, None), (None, None), (8, 6), (None, None)]
    # channel 0 is not used, channel 3 is not reached
    assert numbers(table, "depthwise") == [(4, 2), (36, 18), (40, 20), (576, 288)]
    # unit 1 reads channel 1, units 2 and 3 read channel 2
    assert numbers(table, "grouped") == [(4, 3), (8, 3), (12, 6), (128, 48)]
    # 5 classes read 4 positions of every channel
    assert numbers(table, "head") == [(None, None), (80, 80), (85, 85), (80, 80)]
    assert both(table, "total", "neurons") == (12, 8)
    assert both(table, "total", "parameters")[0] == sum(parameter.numel() for parameter in net.parameters())
    assert table.attrs["notes"] == []


def test_a_perceptron_cut_down_to_its_living_units_has_as_many_parameters_and_the_same_outputs():
    net = nn.Sequential(nn.Linear(6, 8), Stamina(8), nn.Linear(8, 7), Stamina(7), nn.Linear(7, 3))
    net[1].alive.copy_(torch.tensor([1, 1, 0, 1, 0, 1, 1, 0]))
    net[3].alive.copy_(torch.tensor([0, 1, 1, 0, 1, 1, 1]))
    first, second = net[1].alive, net[3].alive
    small = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        for cut, layer, rows, columns in [
            (small[0], net[0], first, slice(None)),
            (small[2], net[2], second, first),
            (small[4], net[4], slice(None), second),
        ]:
            cut.weight.copy_(layer.weight[rows][:, columns])
            cut.bias.copy_(layer.bias[rows])
    x = torch.randn(9, 6)
    torch.testing.assert_close(small(x), net(x))
    assert_cut(count(net), small, count(small))


def test_a_convolution_cut_down_to_its_living_channels_has_as_many_parameters_and_the_same_outputs():
    def build(a, b):
        return nn.Sequential(
            nn.Conv2d(2, a, 3), nn.BatchNorm2d(a), Stamina(a, dim=1),
            nn.Conv2d(a, b, 3, stride=2), Stamina(b, dim=1),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * b, 3),
        ).eval()  # fmt: skip

    net, small = build(6, 5), build(4, 3)
    first, second = net[2].alive, net[4].alive
    first[torch.tensor([1, 4])] = False
    second[torch.tensor([0, 3])] = False
    with torch.no_grad():
        small[0].weight.copy_(net[0].weight[first])
        small[0].bias.copy_(net[0].bias[first])
        small[3].weight.copy_(net[3].weight[second][:, first])
        small[3].bias.copy_(net[3].bias[second])
        small[7].weight.copy_(net[7].weight.view(3, 5, 4)[:, second].flatten(1))
        small[7].bias.copy_(net[7].bias)
    x = torch.randn(2, 2, 12, 12)
    torch.testing.assert_close(small(x), net(x))
    assert_cut(count(net, x), small, count(small, x))


def assert_cut(table, small, small_table):
    """What is alive of a net is all of the small one."""
    for of in NUMBERS:
        assert (
            both(table, "total", of)[1]
            == both(small_table, "total", of)[0]
            == both(small_table, "total", of)[1]
        )
    assert both(table, "total", "parameters")[1] == sum(parameter.numel() for parameter in small.parameters())


def test_a_transposed_convolution_by_hand():
    net = nn.Sequential(
        nn.Conv1d(1, 2, 1), nn.ConvTranspose1d(2, 3, 2, stride=2), nn.Flatten(), nn.Linear(30, 1)
    )
    with torch.no_grad():
        net[1].weight[0, 1:] = 0  # (in, out, kernel)
    table = count(net, torch.ones(1, 1, 5))
    assert numbers(table, "1") == [(3, 3), (12, 8), (15, 11), (60, 40)]


def test_masked_connections_are_dead():
    net = nn.Sequential(HebbMask(nn.Linear(4, 3), ["weight"]), nn.ReLU(), nn.Linear(3, 2))
    net[0].masks()["weight"][:2, :3] = False
    net[0].masks()["weight"][0] = False
    table = count(net)
    assert list(table.index) == ["0", "2", "total"]
    assert table.loc["0", "kind"] == "Linear"
    assert numbers(table, "0") == [(3, 2), (12, 5), (15, 7), (12, 5)]


def test_a_layer_called_twice_has_its_connections_once_and_its_multiply_adds_twice():
    layer = nn.Linear(4, 4)
    table = count(nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 2)))
    assert numbers(table, "0") == [(4, 4), (16, 16), (20, 20), (32, 32)]


def test_every_parameter_is_in_some_row():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))
            self.up, self.down = nn.Parameter(torch.ones(6, 4)), nn.Parameter(torch.ones(4, 6))
            self.words = nn.Embedding(5, 4)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
            self.rnn = nn.GRU(4, 4, batch_first=True)
            self.act = nn.PReLU()
            self.norm = nn.LayerNorm(4)
            self.unused = nn.Linear(4, 4)
            self.head = nn.Linear(4, 5, bias=False)
            self.head.weight = self.words.weight

        def forward(self, x):
            x = self.act(self.normed(self.words(x) * self.scale))
            x = self.norm(self.rnn(F.linear(F.linear(x, self.up), self.down))[0][:, -1])
            return self.head(x)

    net = Mixed()
    table = count(net, torch.zeros(2, 3, dtype=torch.int64))
    total = sum(parameter.numel() for parameter in net.parameters())
    assert both(table, "total", "parameters") == (total, total - 20)
    assert numbers(table, "Mixed") == [(6, 6), (24, 24), (28, 28), (72, 72)]
    assert numbers(table, "Mixed[1]") == [(4, 4), (24, 24), (24, 24), (72, 72)]
    assert both(table, "normed", "parameters") == (24, 24)
    assert numbers(table, "head") == [(None, None), (20, 20), (0, 0), (20, 20)]
    assert table.loc[["normed", "rnn"], "kind"].tolist() == ["ParametrizedLinear", "GRU"]
    assert table.attrs["notes"] == [
        "not followed: gru in rnn",
        "never used: unused.weight",
        "never used: unused.bias",
    ]


def test_a_row_may_be_given_instead_of_a_batch():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    assert both(count(net, torch.ones(3, 4, 4)), "total", "multiply_adds") == (108 * 4 + 32,) * 2


def test_a_model_may_name_the_shape_of_its_inputs():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    net.input_shape = (3, 4, 4)
    assert both(count(net), "total", "multiply_adds") == (108 * 4 + 32,) * 2


def test_multiply_adds_are_unknown_where_the_size_of_inputs_is_a_guess():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.Flatten(), nn.Linear(13 * 13 * 4, 2))  # of 28 x 28
    table = count(net)
    assert numbers(table, "0") == [(4, 4), (36, 36), (40, 40), (None, None)]
    assert both(table, "total", "multiply_adds") == (None, None)
    assert table.attrs["notes"] == [
        "multiply-adds depend on the size of the inputs: give inputs to count them"
    ]


def test_where_a_model_cannot_be_followed_its_own_masks_count():
    class Choosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inputs, self.units = InputStamina(4), Stamina(3)
            self.first, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            x = self.units(self.first(self.inputs(x)))
            return self.head(x) if x.sum() > 1 else self.head(-x)

    net = Choosy()
    net.units.alive[0] = False
    with torch.no_grad():
        net.first.weight[1, 1] = 0
    table = count(net)
    assert numbers(table, "units") == [(3, 2), (None, None), (0, 0), (None, None)]
    assert numbers(table, "first") == [(None, None), (12, 11), (15, 14), (None, None)]
    assert numbers(table, "total") == [(3, 2), (18, 17), (23, 22), (None, None)]
    assert table.attrs["notes"] == [
        "not followed: its path depends on values (bool); each module's own mask counts"
    ]


@pytest.mark.parametrize(
    ("net", "inputs", "line"),
    [
        (
            nn.Linear(4, 3),
            torch.ones(2, 5),
            "Linear does not run on inputs of shape (2, 5); give a batch that it takes",
        ),
        (nn.ReLU(), None, "it is not known what ReLU takes; give inputs, a batch of them"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(9, 2), nn.Linear(3, 3)),
            None,
            "it is not known what Sequential takes; give inputs, a batch of them",
        ),
        (nn.LazyLinear(3), None, "weight has no shape yet; call the model once before you count"),
        (
            nn.Linear(4, 3, device="meta"),
            None,
            "weight has a shape only, on the meta device; load the weights first",
        ),
        (None, None, "the model is of type NoneType; give a module of PyTorch"),
        ({}, torch.ones(1, 4), "the model is of type dict; give a module of PyTorch"),
    ],
    ids=["wrong shape", "no layers", "does not fit", "lazy", "meta", "nothing", "weights alone"],
)
def test_a_model_that_cannot_be_counted_is_refused_in_one_line(net, inputs, line):
    with pytest.raises(UsageError) as caught:
        count(net, inputs)
    assert str(caught.value) == f"count: {line}"


def layers_with_a_dead_unit():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        net[0].weight[0] = net[0].bias[0] = 0
    return net


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_model_counts_as_the_model_that_was_compiled():
    net = layers_with_a_dead_unit()
    of_plain = count(net)
    assert count(torch.compile(net)).equals(of_plain)
    inside = nn.Sequential(torch.compile(net[0]), nn.ReLU(), torch.compile(net[2]))
    assert count(inside, torch.ones(1, 4)).equals(of_plain)
    assert count(torch.compile(net[0])).equals(count(net[0]))
    net.compile()
    assert count(net).equals(of_plain)


def quantised_after_calibration():
    net = nn.Sequential(quantization.QuantStub(), layers_with_a_dead_unit(), quantization.DeQuantStub())
    net.eval().qconfig = quantization.get_default_qconfig("fbgemm")
    quantization.prepare(net, inplace=True)
    net(torch.ones(2, 4))
    return quantization.convert(net)


def quantised(net, kind, dtype=torch.qint8):
    return quantization.quantize_dynamic(net, {kind}, dtype=dtype)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no quantised layers")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: quantised(layers_with_a_dead_unit(), nn.Linear), "0"),
        (lambda: quantised(layers_with_a_dead_unit(), nn.Linear, torch.float16), "0"),
        (lambda: quantised(nn.Sequential(nn.LSTM(4, 3)), nn.LSTM), "0"),
        (lambda: torch.compile(quantised(layers_with_a_dead_unit(), nn.Linear)), "0"),
        (quantised_after_calibration, "0"),
    ],
    ids=["dynamic", "half", "recurrent", "compiled", "static"],
)
@pytest.mark.parametrize("inputs", [None, torch.ones(1, 4)])
def test_a_quantised_model_is_refused_in_one_line(make, name, inputs):
    with pytest.raises(UsageError) as caught:
        count(make(), inputs)
    assert str(caught.value) == (
        f"count: {name} is quantised and hides its weights; count the model before it is quantised"
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_in_one_line():
    traced = torch.jit.trace(nn.Linear(4, 3), torch.ones(1, 4))
    with pytest.raises(UsageError) as caught:
        count(nn.Sequential(nn.Linear(4, 4), traced), torch.ones(1, 4))
    assert str(caught.value) == (
        "count: 1 is TorchScript, which cannot be looked into; count the model it was made of"
    )


def test_a_model_without_layers_has_no_neurons():
    assert numbers(count(nn.ReLU(), torch.ones(1, 4)), "total") == [(0, 0)] * 4


def test_pandas_is_imported_only_to_count():
    code = "import sys, hebbevo.nn.liveness.counting; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
