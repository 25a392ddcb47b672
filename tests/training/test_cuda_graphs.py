"""A recorded step does what a step does: the same operations in the same memory, without reading a value.

No GPU is needed: what a CUDA graph does is done here with the operations that PyTorch dispatches.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import cycle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hebbevo.networks import CONVOLUTIONAL, FAMILIES, Architecture
from hebbevo.nn import plastic
from hebbevo.rules import CONNECTIONS, UNITS
from hebbevo.training import Rows, cuda_graphs
from hebbevo.training.compact import CompactStack
from tests.training.conftest import (
    CLASSES,
    CPU,
    FEATURES,
    FOUR_KINDS,
    assert_identical,
    living_only,
    make_cohort,
    make_double_cohort,
    problem,
    recipe,
    state_of,
    without_seconds,
)

aten = torch.ops.aten
READS_A_VALUE = {
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
    """Records the operations that are called, and afterwards restores all tensors that existed before."""

    def __init__(self):
        super().__init__()
        self.calls, self.before = [], {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert function.overloadpacket not in READS_A_VALUE, f"{function} makes the host wait"
        # all arguments, since the schema of batch norm does not say that it writes its running means
        for value in tree_leaves((args, kwargs)):
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
    """Stands for `torch.cuda.CUDAGraph`, and counts recordings and launches."""

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
    """Everything runs as on a GPU, but on the CPU."""
    monkeypatch.setattr(plastic, "runs_ahead", lambda tensor: True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(Graph, "made", 0)
    monkeypatch.setattr(Graph, "replays", 0)


def living_states(the_cohort, genomes):
    """What decides what the nets of a cohort do from now on."""
    return {
        f"{row}: {name}": value
        for row in range(len(genomes))
        for name, value in living_only(state_of(the_cohort, row)).items()
    }


@contextmanager
def without_recording():
    """On the GPU of these tests, but every step calls its function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cuda_graphs.CudaGraphs, "run", lambda self, function, rows, event: function(rows, event)
        )
        yield


def trained(the_cohort, epochs, stopping=()):
    for epoch in range(1, epochs + 1):
        the_cohort.train_epoch()
        the_cohort.stop(torch.tensor([row for row, last in stopping if last == epoch], dtype=torch.int64))
    return the_cohort


STACKED = [genome for genome in FOUR_KINDS if not {"optimizer", "size_penalty"} & {*genome}]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("inputs", [False, True])
def test_recorded_steps_of_compact_stacks_are_the_steps(request, optimizer, inputs):
    genomes = [genome for genome in STACKED if "entropy_bonus" not in genome]
    genomes += [{"regrowth_rate": 0.0, "unactivation_penalty": 4.0, "max_deaths": 0.9}, {"rebirth": "old"}]
    the_recipe = recipe(inputs=inputs, optimizer=optimizer, epochs=6, settle=0.3)
    rows = Rows.of(problem(), (FEATURES,), CPU)
    stopping = [(2, 1), (5, 3)]
    stepped = trained(make_double_cohort(the_recipe, genomes, rows), 6, stopping)
    request.getfixturevalue("gpu")
    recorded = trained(make_double_cohort(the_recipe, genomes, rows), 6, stopping)
    assert all(isinstance(each.nets, CompactStack) for each in recorded.sub_cohorts)
    assert Graph.replays > 6 * 8 / 2
    replays = Graph.replays
    with without_recording():
        called = trained(make_double_cohort(the_recipe, genomes, rows), 6, stopping)
    assert_identical(recorded.state, called.state)
    assert Graph.replays == replays
    # rates are in single precision
    torch.testing.assert_close(
        living_states(recorded, genomes), living_states(stepped, genomes), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(recorded.losses, stepped.losses, rtol=1e-5, atol=1e-6)
    for one, other in zip(recorded.measurements(), stepped.measurements(), strict=True):
        assert repr(without_seconds(one)) == repr(without_seconds(other))
        assert min(one.survivors) < 90


def of_every_family() -> list[tuple[str, str, str]]:
    """Every unit rule and every connection rule in every family, each time beside another one."""
    units, connections = cycle(UNITS), cycle(CONNECTIONS)
    count = max(len(UNITS), len(CONNECTIONS))
    return [(family, next(units), next(connections)) for family in FAMILIES for _ in range(count)]


@pytest.mark.parametrize(("family", "units", "connections"), of_every_family())
def test_recorded_steps_of_every_family_and_rule_are_the_steps(request, family, units, connections):
    shape = (1, 8, 8) if family in CONVOLUTIONAL else (FEATURES,)
    channels = (5,) if family in CONVOLUTIONAL else ()
    network = Architecture(family, (13, 9), units, False, shape, CLASSES, channels, connections)
    brisk = {
        "warmup": 2,
        "prune_period": 2,
        "events": 4,
        "target": 4,
        "update_interval": 2,
        "permanence_rate": 0.1,
        "rewire_period": 5,
        "grow_by": "cosine_probability",  # the highest of few rows are equal but for rounding
        "share": 0.3,
    }
    knobs = UNITS[units].knobs | CONNECTIONS[connections].knobs
    settings = {name: value for name, value in brisk.items() if name in knobs}
    the_recipe = replace(recipe(epochs=4, batch_size=7), network=network, settings=settings)
    genomes = [{}, {"learning_rate": 1e-2}, {"weight_decay": 0.5}]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, *shape, generator=generator)
    rows = Rows(x[:30], torch.arange(30) % CLASSES, x[30:], torch.arange(10) % CLASSES)
    stepped = trained(make_double_cohort(the_recipe, genomes, rows), 4)
    request.getfixturevalue("gpu")
    recorded = trained(make_double_cohort(the_recipe, genomes, rows), 4)
    assert Graph.replays
    with without_recording():
        assert_identical(recorded.state, trained(make_double_cohort(the_recipe, genomes, rows), 4).state)
    kept = (
        (lambda each: each.state) if family in CONVOLUTIONAL else (lambda each: living_states(each, genomes))
    )
    # rates are in single precision, and terms of a covariance cancel
    torch.testing.assert_close(kept(recorded), kept(stepped), rtol=1e-5, atol=3e-6)


def test_a_step_is_recorded_once_for_each_kind_and_again_after_nets_were_stopped(gpu):
    cohort = make_cohort(
        recipe(epochs=4, batch_size=31, regrowth_rate=0.0, prune_period=3), STACKED[:4], problem()
    )
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


def test_nets_change_their_level_between_epochs_if_no_unit_can_return(gpu):
    genome = {"unactivation_penalty": 4.0, "max_deaths": 0.9, "regrowth_rate": 0.0}
    returning = genome | {"regrowth_rate": 0.1}
    cohort = make_cohort(recipe((64, 64), epochs=8, settle=0.5), [genome, returning], problem())
    levels = []
    for _ in range(8):
        cohort.train_epoch()
        levels.append({row: each.nets.level for each in cohort.sub_cohorts for row in each.rows.tolist()})
    assert levels[1][0] > 0
    assert levels[1][1] == 0
    assert levels[-1][1] > 0  # its last event is over


@pytest.mark.parametrize(("loss", "recordings"), [("torch.nn.functional:cross_entropy", 0), (None, 2)])
def test_steps_with_code_of_the_user_are_not_recorded(gpu, loss, recordings):
    the_recipe = replace(recipe(batch_size=31), loss=loss)  # eight steps of one size, some of them events
    make_cohort(the_recipe, STACKED[:2], problem()).train_epoch()
    assert Graph.made == recordings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_gpu_trains_recorded_steps_as_a_cpu_trains(monkeypatch, optimizer):
    the_recipe = recipe(optimizer=optimizer, epochs=4, settle=0.3)
    rows = Rows.of(problem(), (FEATURES,), CPU)
    stepped = trained(make_double_cohort(the_recipe, STACKED, rows), 4)
    moved = Rows(*(each.cuda() for each in (rows.x, rows.y, rows.x_val, rows.y_val)))
    launches = []
    launch = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (launches.append(graph), launch(graph)))
    recorded = trained(make_double_cohort(the_recipe, STACKED, moved), 4)
    assert launches
    torch.testing.assert_close(
        living_states(recorded, STACKED), living_states(stepped, STACKED), rtol=1e-5, atol=1e-6
    )
