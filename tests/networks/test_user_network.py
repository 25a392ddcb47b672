"""Networks of the user: which genes and settings are arguments of a function, and which are knobs."""

import numpy as np
import pytest
import torch
from torch import nn

from hebbevo.errors import UsageError
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.nn import HebbMask, Stamina


class Net(nn.Module):
    """Plastic modules in two places, and the arguments that it received."""

    def __init__(self, width=4, *, slope=0.1, grace=3, input_shape=(6,), num_classes=2):
        super().__init__()
        self.given = {"width": width, "slope": slope, "grace": grace, "shape": input_shape}
        self.first = nn.Linear(input_shape[0], width)
        self.units = Stamina(width, grace=grace)
        self.deep = nn.Sequential(nn.Linear(width, width), Stamina(width))
        self.head = HebbMask(nn.Linear(width, num_classes), ["weight"])

    def forward(self, x):
        return self.head(self.deep(self.units(self.first(x))))


def of_width(width, input_shape, num_classes):
    return nn.Linear(input_shape[0], num_classes + width)


def penalised(unactivation_penalty=1.0, **others):
    assert not others
    net = Net()
    net.penalty = unactivation_penalty
    return net


def nothing():
    return "nothing"


def its_class():
    return nn.ReLU


def broken(width):
    raise ValueError(f"no net of {width}\nand a long story")


def interrupted():
    raise KeyboardInterrupt


def lazy(num_classes):
    return nn.LazyLinear(num_classes)


def drawing():
    net = Net()
    with torch.no_grad():
        net.first.bias.copy_(torch.rand(4))
    return net


def own(name="Net"):
    return UserNetwork(f"{__name__}:{name}", (6,), 2)


def test_genes_are_arguments_of_the_function_beside_the_shape_and_the_classes():
    net = own().build({"width": 5, "slope": 0.3, "learning_rate": 0.1}, 1)
    assert net.given == {"width": 5, "slope": 0.3, "grace": 3, "shape": (6,)}
    assert (net.first.in_features, net.head.module.out_features) == (6, 2)
    linear = own("of_width").build({"width": 7}, 1)
    assert (linear.in_features, linear.out_features) == (6, 9)


def test_a_knob_is_set_in_every_module_that_has_it_or_in_one_by_its_name():
    given = {"warmup": 7, "deep.1.warmup": 9, "head.permanence_rate": 0.5, "permanence_decay": 0.25}
    net = own().build(given, 1)
    assert [each.warmup.item() for each in (net.units, net.deep[1], net.head)] == [7, 9, 7]
    assert net.head.permanence_rate.item() == 0.5
    assert net.head.permanence_decay.item() == 0.25
    assert net.units.prune_period.item() == Stamina.knobs["prune_period"].default


def test_an_argument_of_the_function_is_no_knob_but_with_the_name_of_a_module_it_is():
    net = own().build({"grace": 20}, 1)
    assert (net.given["grace"], net.units.grace.item()) == (20, 20)  # the function has set it
    assert net.deep[1].grace.item() == Stamina.knobs["grace"].default
    net = own().build({"grace": 20, "deep.1.grace": 30}, 1)
    assert [each.grace.item() for each in (net.units, net.deep[1])] == [20, 30]
    net = own("penalised").build({"unactivation_penalty": 3.0, "warmup": 5}, 1)
    assert net.penalty == 3.0
    assert net.units.unactivation_penalty.item() == Stamina.knobs["unactivation_penalty"].default
    assert net.units.warmup.item() == 5


def test_the_arguments_of_the_network_are_those_of_the_function():
    assert [own().has_argument(name) for name in ("width", "grace", "warmup", "deep.1.grace")] == [1, 1, 0, 0]
    assert not own("penalised").has_argument("others")
    assert own().has_user_code
    assert not Architecture("mlp", (3,), "dense", False, (6,), 2).has_user_code


def test_the_knobs_of_a_net_have_names_with_and_without_their_layer():
    network = own()
    known = network.knobs(network.build({}, 1))
    assert {"warmup", "deep.1.warmup", "units.grace", "deep.1.grace", "head.permanence_rate"} <= known
    assert {"permanence_rate"} <= known
    assert not {"grace", "width", "first.warmup", "head.grace"} & known


def test_a_missing_argument_is_named_with_what_to_do():
    message = "wants width, which no gene or setting gives; write it into genome or network.settings$"
    with pytest.raises(UsageError, match=rf"^{__name__}:of_width: {message}"):
        own("of_width").build({"widht": 3}, 1)


@pytest.mark.parametrize(("name", "kind"), [("nothing", "str"), ("its_class", "type")])
def test_a_function_that_returns_no_module_is_refused(name, kind):
    with pytest.raises(UsageError, match=rf"^{__name__}:{name}: gave {kind}; return an nn.Module$"):
        own(name).build({}, 1)


def test_what_the_function_raises_is_reported_in_one_line_with_the_place():
    message = rf"^{__name__}:broken: raised ValueError: no net of 3 \(.*{__name__}\.py:\d+\)$"
    with pytest.raises(UsageError, match=message):
        own("broken").build({"width": 3}, 1)
    with pytest.raises(KeyboardInterrupt):
        own("interrupted").build({}, 1)


def test_a_value_that_a_knob_cannot_have_is_refused():
    with pytest.raises(UsageError, match=r"warmup: .*-1"):
        own().build({"deep.1.warmup": -1}, 1)


def test_layers_without_a_shape_are_refused_with_what_to_do():
    with pytest.raises(UsageError, match="has no shape yet; call the network once before you return it"):
        own("lazy").build({}, 1)


def test_a_function_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=f"^{__name__}:Nett: there is no Nett in .*; did you mean Net"):
        own("Nett").build({}, 1)


@pytest.mark.parametrize("name", ["Net", "drawing"])
def test_the_seed_alone_decides_the_net_and_the_generators_stay_as_they_were(name):
    first = own(name).build({}, 2**62 - 1).state_dict()
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state()
    again = own(name).build({}, 2**62 - 1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = own(name).build({}, 4).state_dict()
    assert not torch.equal(first["first.weight"], other["first.weight"])
    assert not torch.equal(first["first.bias"], other["first.bias"])
