"""A recorded step does what a step does: the same operations in the same memory, and no look at a value.

There need be no GPU: what a CUDA graph does is done here with the operations that PyTorch dispatches.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hebbevo.networks import Architecture
from hebbevo.networks.architecture import FAMILIES
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.training import Rows, cuda_graphs
from hebbevo.training.compact import CompactStack
from tests.nn.living import of_the_living
from tests.training.test_cohort import (
    CLASSES,
    FEATURES,
    MIXED,
    assert_identical,
    double,
    made,
    problem,
    reached,
    recipe,
    state,
)

aten = torch.ops.aten
LOOKS = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.is_nonzero,
    aten.equal,
    aten.masked_select,
    aten.lift_fresh,
}


def storages(*found):
    return {
        leaf.untyped_storage().data_ptr() for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)
    }


class Recording(TorchDispatchMode):
    """Takes down what is called, and leaves no trace of it in what was there before."""

    def __init__(self):
        super().__init__()
        self.calls, self.before = [], {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert function.overloadpacket not in LOOKS, f"{function} makes the host wait"
        for value in tree_leaves((args, kwargs)):  # whatever the schema says: batch norm writes its means
            if isinstance(value, torch.Tensor):
                whole = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
                self.before.setdefault(*storages(whole), (whole, whole.clone()))
        result = function(*args, **kwargs)
        self.calls.append(tree_map_only(torch.Tensor, torch.Tensor.detach, (function, args, kwargs, result)))
        return result

    def __exit__(self, *error):
        super().__exit__(*error)
        for whole, before in self.before.values():
            whole.copy_(before)

    def replay(self):
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and not storages(new) & storages(args, kwargs):
                    old.copy_(new)


class Graph(Recording):
    """In the place of `torch.cuda.CUDAGraph`."""

    made = 0
    replays = 0

    def pool(self):
        return 0, 0

    def replay(self):
        Graph.replays += 1
        with torch.no_grad():
            super().replay()


@contextmanager
def recording(graph, pool):
    Graph.made += 1
    with graph:
        yield


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def gpu(monkeypatch):
    """Everything is done as on a GPU, but for the GPU."""
    monkeypatch.setattr(cuda_graphs, "runs_ahead", lambda tensor: True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(Graph, "made", 0)
    monkeypatch.setattr(Graph, "replays", 0)


def of_all(the_cohort, genomes):
    return {
        f"{row}: {name}": value
        for row in range(len(genomes))
        for name, value in of_the_living(state(the_cohort, row)).items()
    }


def called(the_cohort):
    """The same with steps that are not recorded."""
    the_cohort._graphs = None
    return the_cohort


def trained(the_cohort, epochs, stopping=()):
    for epoch in range(1, epochs + 1):
        the_cohort.train_epoch()
        the_cohort.stop(torch.tensor([row for row, last in stopping if last == epoch], dtype=torch.int64))
    return the_cohort


STACKED = [genome for genome in MIXED if not {"optimizer", "large_neuron_penalty"} & {*genome}]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("inputs", [False, True])
def test_recorded_steps_of_chains_are_the_steps(request, optimizer, inputs):
    genomes = [genome for genome in STACKED if "entropy_bonus" not in genome]
    genomes += [{"regrowth_rate": 0.0, "unactivation_penalty": 4.0, "max_deaths": 0.9}, {"rebirth": "old"}]
    the_recipe = recipe(inputs=inputs, optimizer=optimizer, epochs=6, settle=0.3)
    rows = Rows.of(problem(), (FEATURES,), torch.device("cpu"))
    stopping = [(2, 1), (5, 3)]
    stepped = trained(double(the_recipe, genomes, rows), 6, stopping)
    request.getfixturevalue("gpu")
    recorded = trained(double(the_recipe, genomes, rows), 6, stopping)
    assert all(isinstance(part.nets, CompactStack) for part in recorded.sub_cohorts)
    assert Graph.replays > 6 * 8 / 2
    replays = Graph.replays
    assert_identical(recorded.state, trained(called(double(the_recipe, genomes, rows)), 6, stopping).state)
    assert Graph.replays == replays
    # rates are in single precision
    torch.testing.assert_close(of_all(recorded, genomes), of_all(stepped, genomes), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(recorded.losses, stepped.losses, rtol=1e-5, atol=1e-6)
    for one, other in zip(recorded.measurements(), stepped.measurements(), strict=True):
        assert repr(reached(one)) == repr(reached(other))
        assert min(one.survivors) < 90


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("units", "connections"), [*product(UNITS, ["full"]), *product(["dense", "stamina"], CONNECTIONS)]
)
def test_recorded_steps_of_every_family_and_rule_are_the_steps(request, family, units, connections):
    shape = (1, 8, 8) if family == "conv" else (FEATURES,)
    channels = (5,) if family == "conv" else ()
    network = Architecture(family, (13, 9), units, False, shape, CLASSES, channels, connections)
    brisk = {
        "warmup": 2,
        "prune_period": 2,
        "events": 4,
        "target": 4,
        "update_interval": 2,
        "permanence_rate": 0.1,
    }
    knobs = UNITS[units].knobs | CONNECTIONS[connections].knobs
    settings = {name: value for name, value in brisk.items() if name in knobs}
    the_recipe = replace(recipe(epochs=4, batch_size=7), network=network, settings=settings)
    genomes = [{}, {"learning_rate": 1e-2}, {"weight_decay": 0.5}]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, *shape, generator=generator)
    rows = Rows(x[:30], torch.arange(30) % CLASSES, x[30:], torch.arange(10) % CLASSES)
    stepped = trained(double(the_recipe, genomes, rows), 4)
    request.getfixturevalue("gpu")
    recorded = trained(double(the_recipe, genomes, rows), 4)
    assert Graph.replays
    assert_identical(recorded.state, trained(called(double(the_recipe, genomes, rows)), 4).state)
    kept = (lambda each: each.state) if family == "conv" else (lambda each: of_all(each, genomes))
    torch.testing.assert_close(kept(recorded), kept(stepped), rtol=1e-5, atol=1e-6)


def test_a_step_is_recorded_once_for_each_kind_and_anew_when_nets_leave(gpu):
    cohort = made(recipe(epochs=4, batch_size=31, regrowth_rate=0.0, prune_period=3), STACKED[:4], problem())
    cohort.train_epoch()  # eight steps of one size, two of them events
    assert Graph.made == 2
    assert Graph.replays == 6
    cohort.stop(torch.tensor([], dtype=torch.int64))
    cohort.train_epoch()
    assert Graph.replays == 14
    cohort.stop(torch.tensor([1]))
    made_before = Graph.made
    cohort.train_epoch()
    assert Graph.made == made_before + 2


def test_slots_go_between_epochs_where_nobody_can_return(gpu):
    genome = {"unactivation_penalty": 4.0, "max_deaths": 0.9, "regrowth_rate": 0.0}
    returning = genome | {"regrowth_rate": 0.1}
    cohort = made(recipe((64, 64), epochs=8, settle=0.5), [genome, returning], problem())
    levels = []
    for _ in range(8):
        cohort.train_epoch()
        levels.append({row: part.nets.level for part in cohort.sub_cohorts for row in part.rows.tolist()})
    assert levels[1][0] > 0
    assert levels[1][1] == 0
    assert levels[-1][1] > 0  # its last event is over


def test_code_of_the_users_is_not_recorded(gpu):
    own_loss = replace(recipe(), loss="torch.nn.functional:cross_entropy")
    assert made(own_loss, STACKED[:2], problem())._graphs is None
    assert made(recipe(), STACKED[:2], problem())._graphs


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_gpu_trains_recorded_steps_as_a_cpu_trains(optimizer):
    the_recipe = recipe(optimizer=optimizer, epochs=4, settle=0.3)
    rows = Rows.of(problem(), (FEATURES,), torch.device("cpu"))
    stepped = trained(double(the_recipe, STACKED, rows), 4)
    moved = Rows(*(each.cuda() for each in (rows.x, rows.y, rows.x_val, rows.y_val)))
    recorded = trained(double(the_recipe, STACKED, moved), 4)
    assert recorded._graphs._graphs
    torch.testing.assert_close(of_all(recorded, STACKED), of_all(stepped, STACKED), rtol=1e-5, atol=1e-6)
