"""Promise 1: a net reaches in any cohort what it reaches alone, and what an ordinary PyTorch loop reaches."""

from dataclasses import replace
from itertools import chain, product

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import Split
from hebbevo.errors import UsageError
from hebbevo.networks import Architecture
from hebbevo.nn import attach
from hebbevo.nn.liveness.paths import survivors
from hebbevo.training import (
    Candidate,
    CohortTraining,
    Decision,
    Recipe,
    Rows,
    cohort,
    has_events,
    networks_of,
    optimizers,
    ran_out_of_memory,
    score,
    train,
    trainer,
)
from hebbevo.training.compact import CompactStack
from hebbevo.training.stack import SingleNet, VmapStack, structure
from tests.nn.living import of_the_living

CPU = torch.device("cpu")
FEATURES, CLASSES = 11, 4
FORMS = {"mean": 2.0, "ratio": 2.0, "zero_sum": 1.0, "constant": 1.1}  # each at a penalty that kills some

# everything that stacks: every penalty form, hyperparameters far apart
ALIKE = [
    {"penalty_form": form, "unactivation_penalty": penalty, "activity": activity}
    for (form, penalty), activity in product(FORMS.items(), ("activation", "frequency"))
] + [
    {"firing_prior": 0.7, "stamina_decay": 0.9, "learning_rate": 1e-2},
    {"rebirth": "old", "unactivation_penalty": 2.5, "learning_rate": 3e-4},
    {"initial_neurons": 0.5, "regrowth_rate": 0.6, "weight_decay": 1.0},
    {"max_deaths": 0.5, "min_neurons": 1, "unactivation_penalty": 3.0, "warmup": 3, "prune_period": 1},
]
EVERYTHING = {
    "activity": "contribution",
    "handover": True,
    "settle": 0.3,
    "initial_neurons": 0.5,
    "growth_rate": 0.4,
    "patience": 1,
    "entropy_bonus": 0.05,
    "large_neuron_penalty": 0.01,
}
MIXED = [
    *({"penalty_form": f, "unactivation_penalty": p, "activity": "contribution"} for f, p in FORMS.items()),
    {"handover": True, "unactivation_penalty": 2.0},
    {"settle": 0.5},
    {"growth_rate": 0.5, "patience": 1, "initial_neurons": 0.4, "regrowth_rate": 0.0},
    {"large_neuron_penalty": 0.01},
    {"entropy_bonus": 0.1},
    {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.8},
    {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.5, **EVERYTHING},
    EVERYTHING,
]


SGD = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.8}
# everything that does not stack: pairs of one structure among eight
STRUCTURES = [
    {"depth": 1},
    {"depth": 1, "hidden": 37, "penalty_form": "ratio"},
    {"depth": 3, "hidden": 9},
    {"depth": 3, "hidden.1": 9, "hidden.2": 9, "hidden.3": 9, "grace.2": 40},
    {"hidden.1": 23, "hidden.2": 5},
    {"hidden.1": 23, "hidden.2": 5, "unactivation_penalty.1": 3.0, "unactivation_penalty.2": 0.3},
    {"hidden.1": 23, "hidden.2": 5, **SGD},
    {"hidden": 8, **SGD},
    {"units": "dense"},
    {"units": "dense", "settle": 0.5},
    {"units": "dense", "depth": 1, "hidden": 16},
    {"settle.1": 0.1, "settle.2": 0.6, "handover.1": True},
]


def problem(train_rows=248, val_rows=100):
    """Four noisy clusters whose features are often zero, so that input units can be silent."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(CLASSES, FEATURES))

    def part(rows):
        y = rng.integers(CLASSES, size=rows)
        x = (centres[y] + rng.normal(size=(rows, FEATURES))) * (rng.random((rows, FEATURES)) < 0.6)
        return x.astype(np.float32), y

    (x, y), (x_val, y_val), (x_test, y_test) = part(train_rows), part(val_rows), part(20)
    ones = np.ones(FEATURES, np.float32)
    return Split(x, y, x_val, y_val, x_test, y_test, 0 * ones, ones, tuple(range(CLASSES)))


def recipe(hidden=(37, 53), inputs=False, epochs=1, batch_size=32, seed=3, **settings):
    """Eight steps an epoch on `problem`; events from the second step on."""
    brisk = {
        "unactivation_penalty": 2.0,
        "warmup": 2,
        "prune_period": 2,
        "grace": 2,
        "regrowth_rate": 0.3,
        "hebbian_threshold": 0.0137,
    }
    architecture = Architecture("mlp", hidden, "stamina", inputs, (FEATURES,), CLASSES)
    return Recipe(architecture, brisk | settings, epochs, batch_size, seed)


def candidates(genomes):
    return [Candidate(genome) for genome in genomes]


def nets(the_recipe, genomes):
    """The nets of these genomes."""
    return [
        the_recipe.network.build(the_recipe.settings_for(genome), Candidate(genome).seed(the_recipe.seed))
        for genome in genomes
    ]


def made(the_recipe, genomes, split, device=CPU):
    """A cohort of these genomes."""
    built = nets(the_recipe, genomes)
    stack = VmapStack(built, device) if len(built) > 1 else SingleNet(built[0], device)
    values = [the_recipe.training_knobs(genome) for genome in genomes]
    model, *_ = nets(the_recipe, genomes)
    return CohortTraining(the_recipe, stack, values, model, Rows.of(split, the_recipe.network.shape, device))


def double(the_recipe, genomes, rows):
    """A cohort of these genomes in float64, in which two ways of adding up hardly differ."""
    built = [net.double() for net in nets(the_recipe, genomes)]
    model, *_ = nets(the_recipe, genomes)
    rows = replace(rows, x=rows.x.double(), x_val=rows.x_val.double())
    values = [the_recipe.training_knobs(genome) for genome in genomes]
    return CohortTraining(the_recipe, VmapStack(built, rows.x.device), values, model.double(), rows)


def state(the_cohort, row):
    """Weights and buffers of one net of a cohort."""
    return {name: value[row].detach().cpu().clone() for name, value in the_cohort.state.items()}


def reached(measurement):
    return replace(measurement, seconds=0.0)


def assert_identical(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def assert_close(ours, theirs):
    """Masks, ages and counters equal; weights and statistics up to float rounding."""
    torch.testing.assert_close(of_the_living(ours), of_the_living(theirs), rtol=1e-4, atol=2e-5)


@pytest.fixture(autouse=True)
def one_thread():
    """More only wait for each other on nets this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def trained(monkeypatch, device):
    """`train` in cohorts of ``size``, with the final state of every net beside its measurement."""
    states = {}

    class Recording(CohortTraining):
        def measurements(self):
            measured = super().measurements()
            for row, measurement in enumerate(measured):
                states[id(measurement)] = measurement, state(self, row)
            return measured

    def run(the_recipe, genomes, split, size):
        asked = candidates(genomes)
        starts = range(0, len(asked), size)
        measured = [
            m for start in starts for m in train(the_recipe, asked[start : start + size], split, device)
        ]
        return [states[id(m)] for m in measured]

    monkeypatch.setattr(trainer, "CohortTraining", Recording)
    return run


PACKINGS = [
    ((37, 53), False, ALIKE, (2, 3, 12)),
    ((37, 53), True, MIXED, (2, 3, 12)),
    ((300, 100), False, MIXED, (3, 12)),
    ((7,), True, ALIKE, (2, 3, 12)),
    ((7,), False, MIXED, (12,)),
    ((37, 53), True, STRUCTURES, (12,)),
]


@pytest.mark.parametrize(("hidden", "inputs", "genomes", "sizes"), PACKINGS)
def test_a_net_reaches_alone_what_it_reaches_in_a_cohort_of_any_size(trained, hidden, inputs, genomes, sizes):
    the_recipe, split = recipe(hidden, inputs), problem()
    alone = trained(the_recipe, genomes, split, size=1)
    for size in sizes:
        together = trained(the_recipe, genomes, split, size)
        for (ours, our_state), (theirs, their_state) in zip(together, alone, strict=True):
            assert_close(our_state, their_state)
            assert (ours.survivors, ours.layers, ours.inputs) == (
                theirs.survivors,
                theirs.layers,
                theirs.inputs,
            )
            assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.011)  # one row of a hundred


@pytest.mark.parametrize("genomes", [ALIKE, MIXED])
def test_the_nets_of_these_tests_die_and_return(trained, genomes):
    """Otherwise the comparisons above would compare nothing."""
    results = trained(recipe(inputs=True), genomes, problem(), size=12)
    for units in ("inputs", "units.0", "units.1"):
        died = [(~final[f"{units}.alive"]).any() for _, final in results]
        returned = [(final[f"{units}.age"] < 2**40).any() for _, final in results]
        assert sum(died) >= 6, units
        assert sum(returned) >= 6, units


@pytest.mark.parametrize("hidden", [(37, 53), (300, 100), (7,)])
def test_the_same_cohort_is_the_same_bit_for_bit_whatever_happened_in_between(trained, hidden):
    the_recipe, split = recipe(hidden, inputs=True), problem()
    first = trained(the_recipe, ALIKE + MIXED, split, size=24)
    torch.manual_seed(99)
    np.random.seed(5)
    torch.rand(17)
    trained(recipe((5, 3), seed=8), MIXED[3:7], problem(70), size=3)
    second = trained(the_recipe, ALIKE + MIXED, split, size=24)
    for (ours, our_state), (theirs, their_state) in zip(second, first, strict=True):
        assert reached(ours) == reached(theirs)
        assert_identical(our_state, their_state)


def plain_training(the_recipe, genome, split):
    """An ordinary PyTorch training with `attach`: the net and its losses."""
    values = the_recipe.training_knobs(genome)
    [net] = nets(the_recipe, [genome])
    x, y = torch.from_numpy(split.x_train), torch.from_numpy(split.y_train)
    size = the_recipe.batch_size
    total = the_recipe.epochs * -(-len(x) // size)
    rate, decay = values["learning_rate"], values["weight_decay"]
    if values["optimizer"] == "adamw":
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
        attachment = attach(net, optimizer, total_steps=total)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=values["momentum"])
        attachment = attach(net, optimizer, total_steps=total)

        def shrink(*_):  # after attach's own hook, which has set the settling learning rate
            with torch.no_grad():
                for weight in net.parameters():
                    weight *= 1 - optimizer.param_groups[0]["lr"] * decay

        optimizer.register_step_pre_hook(shrink)
    losses = []
    for epoch in range(the_recipe.epochs):
        order = np.random.default_rng([the_recipe.seed, epoch]).permutation(len(x))
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            loss = F.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            attachment.observe(loss)
            optimizer.step()
            losses.append(loss.item())
    return net, losses


@pytest.mark.parametrize(
    "genome",
    [*ALIKE[:2], *MIXED[3:], *STRUCTURES[3:6], *STRUCTURES[9:]],
    ids=lambda genome: "-".join(genome)[:40],
)
@pytest.mark.parametrize("inputs", [False, True])
def test_the_engine_reaches_what_an_ordinary_pytorch_loop_reaches(trained, genome, inputs):
    the_recipe, split = recipe((19, 13), inputs, epochs=3), problem()
    [(measurement, ours), _, _] = trained(the_recipe, [genome, *ALIKE[4:6]], split, size=3)
    net, _ = plain_training(the_recipe, genome, split)
    assert_close(ours, dict(net.state_dict()))
    with torch.no_grad():
        left = survivors(net, torch.ones(1, FEATURES))
        hits = net.eval()(torch.from_numpy(split.x_val)).argmax(1) == torch.from_numpy(split.y_val)
    assert (measurement.inputs, list(measurement.layers)) == (left.inputs.item(), left.alive[0].tolist())
    assert measurement.survivors[-1] == left.alive.sum()
    assert measurement.accuracy[-1] == pytest.approx(hits.double().mean().item(), abs=0.011)


def test_settling_slows_the_training_down():
    """The comparison with the plain loop would also pass if nobody settled."""
    the_recipe, split = recipe(), problem()
    settling, free = (made(the_recipe, [{"settle": settle}], split) for settle in (0.5, 0.0))
    assert settling._factors[:, 0].tolist() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert free._factors[:, 0].tolist() == [1] * 8
    assert settling._due.tolist() == [False, True, False, True, False, False, False, False]
    assert free._due.tolist() == [False, True] * 4


DIVERGING = {"learning_rate": 1e6}


def test_a_net_is_the_same_bit_for_bit_beside_a_diverging_one(trained):
    the_recipe, split = recipe(epochs=2), problem()
    before = trained(the_recipe, ALIKE[:4], split, size=4)
    after = trained(the_recipe, [*ALIKE[:2], DIVERGING, ALIKE[3]], split, size=4)
    for row in (0, 1, 3):
        assert reached(after[row][0]) == reached(before[row][0])
        assert_identical(after[row][1], before[row][1])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_net_that_diverges_fails_with_the_step_and_has_no_score(optimizer):
    the_recipe, split = recipe(epochs=2, optimizer=optimizer), problem()
    fine, diverged = train(the_recipe, candidates([ALIKE[0], DIVERGING]), split, CPU)
    _, losses = plain_training(the_recipe, DIVERGING, split)
    step = 1 + int(np.flatnonzero(~np.isfinite(losses))[0])
    assert fine.failure is None
    assert diverged.failure == f"the loss became NaN or infinite at step {step}"
    assert not diverged.collapsed
    assert score([diverged]).values is None


def test_a_net_that_diverges_at_the_very_last_step_fails_too():
    the_recipe = recipe(batch_size=248)
    fine, diverged = train(the_recipe, candidates([{}, {"learning_rate": 1e38}]), problem(), CPU)
    assert fine.failure is None
    assert diverged.failure == "the loss became NaN or infinite at step 1"


def test_a_stack_that_raises_fails_with_the_reason_and_the_others_go_on(monkeypatch):
    def broken(*_):
        raise RuntimeError("no memory left\nand a long story")

    genomes = [ALIKE[0], {"optimizer": "sgd"}, ALIKE[1], {"optimizer": "sgd", "momentum": 0.0}]
    expected = train(recipe(), candidates([ALIKE[0], ALIKE[1]]), problem(), CPU)
    monkeypatch.setattr(optimizers.SGD, "step", broken)
    measured = train(recipe(), candidates(genomes), problem(), CPU)
    assert [m.failure for m in measured] == [None, "RuntimeError: no memory left"] * 2
    assert [reached(measured[0]), reached(measured[2])] == [reached(m) for m in expected]


@pytest.mark.parametrize("message", ["", "\n"])
def test_an_error_without_a_message_is_a_failure_too(monkeypatch, message):
    def broken(*_):
        raise ArithmeticError(message)

    monkeypatch.setattr(CohortTraining, "train_epoch", broken)
    (measurement,) = train(recipe(), candidates([{}]), problem(), CPU)
    assert measurement.failure == "ArithmeticError: no message"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("full"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
@pytest.mark.parametrize("place", ["__init__", "train_epoch"])
@pytest.mark.parametrize("size", [1, 3])
def test_want_of_memory_is_no_failed_training_but_an_error_of_the_whole_cohort(
    monkeypatch, error, place, size
):
    def full(*_):
        raise error

    monkeypatch.setattr(CohortTraining, place, full)
    with pytest.raises(type(error)) as caught:
        train(recipe(), candidates(ALIKE[:size]), problem(), CPU)
    assert ran_out_of_memory(caught.value)


def test_want_of_memory_is_known_by_its_cause_too():
    told = UsageError("mine:build raised MemoryError")
    told.__cause__ = MemoryError()
    assert ran_out_of_memory(told)
    assert not ran_out_of_memory(UsageError("mine:build raised ValueError"))
    assert not ran_out_of_memory(RuntimeError("no memory left"))


def test_an_interrupt_is_not_a_failed_training(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CohortTraining, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), candidates([{}]), problem(), CPU)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("rows", [[0, 2], [3], [0, 1, 2]])
def test_nets_that_go_on_are_as_if_the_stopped_had_never_been_there(device, optimizer, rows):
    the_recipe, split = recipe(epochs=2, optimizer=optimizer, learning_rate=5e-3), problem()
    genomes = [ALIKE[0], DIVERGING, {**ALIKE[3], "settle": 0.6}, {**ALIKE[5], "momentum": 0.3, "settle": 0.2}]
    whole = made(the_recipe, genomes, split, device)
    whole.train_epoch()
    first = whole.measurements()
    whole.stop(torch.tensor([row for row in range(4) if row not in rows], device=device))
    whole.train_epoch()

    alone = made(the_recipe, [genomes[row] for row in rows], split, device)
    for _ in range(2):
        alone.train_epoch()

    for row in range(4):
        if row not in rows:
            assert repr(reached(whole.measurements()[row])) == repr(reached(first[row]))  # NaN is not itself
    for place, row in enumerate(rows):
        ours, theirs = whole.measurements()[row], alone.measurements()[place]
        assert ours.failure == theirs.failure
        if genomes[row] is DIVERGING:
            continue
        assert_close(state(whole, row), state(alone, place))
        assert (ours.survivors, ours.layers) == (theirs.survivors, theirs.layers)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.011)
        assert (ours.accuracy[0], ours.survivors[0]) == (first[row].accuracy[0], first[row].survivors[0])


class Strict:
    """Stops whoever has fewer survivors than this after the first epoch."""

    rungs, known = (1,), {1: 0.9}

    def __init__(self, fewest):
        self.fewest, self.seen = fewest, []

    def judge(self, accuracy, survivors):
        self.seen.append((accuracy, survivors))
        return [Decision((0.25, 7.0), stopped=count < self.fewest) for count in survivors[:, -1]]


def test_trials_are_judged_by_the_means_of_their_replicates_and_stopped_with_all_of_them():
    the_recipe, split = recipe(epochs=3), problem()
    pairs = [Candidate(genome, replicate) for genome in ALIKE for replicate in (0, 1)]
    whole = train(the_recipe, pairs, split, CPU)
    means = [(a.survivors[0] + b.survivors[0]) / 2 for a, b in zip(whole[::2], whole[1::2], strict=True)]
    strict = Strict(np.median(means))
    judged = train(the_recipe, pairs, split, CPU, strict)
    [(accuracy, survivors)] = strict.seen
    assert survivors.shape == (len(ALIKE), 1)
    assert survivors[:, 0].tolist() == means
    assert accuracy[0, 0] == (whole[0].accuracy[0] + whole[1].accuracy[0]) / 2
    for number, (mean, ours) in enumerate(
        zip(means, zip(judged[::2], judged[1::2], strict=True), strict=True)
    ):
        for replicate, one in enumerate(ours):
            full = whole[2 * number + replicate]
            assert one.stopped == (mean < strict.fewest)
            assert one.predicted_final == ((0.25, 7.0) if one.stopped else None)
            epochs = 1 if one.stopped else 3
            assert (one.survivors[0], one.accuracy[0]) == (full.survivors[0], full.accuracy[0])
            assert len(one.survivors) == len(one.accuracy) == epochs
            if one.stopped:
                assert sum(one.layers) == one.survivors[-1] > 0
    assert 0 < sum(one.stopped for one in judged) < len(pairs)


def test_replicates_that_train_alone_are_not_judged_each_by_its_luck():
    the_recipe = replace(recipe(epochs=2), stacked=False)
    strict = Strict(10_000)
    one, other, single = train(
        the_recipe, [Candidate({}), Candidate({}, 1), Candidate(ALIKE[0])], problem(), CPU, strict
    )
    assert (one.stopped, other.stopped, single.stopped) == (False, False, True)
    assert len(strict.seen) == 1


def test_when_all_are_stopped_the_training_ends_and_headings_that_say_little_are_withheld(monkeypatch):
    epochs = []
    real = CohortTraining.train_epoch
    monkeypatch.setattr(CohortTraining, "train_epoch", lambda self: (epochs.append(1), real(self)))
    strict = Strict(10_000)
    strict.known = {1: 0.4}
    measured = train(recipe(epochs=3), candidates(ALIKE), problem(), CPU, strict)
    assert len(epochs) == 1
    assert all(one.stopped and one.predicted_final is None for one in measured)


def test_a_net_that_diverged_is_not_judged_but_fails():
    strict = Strict(10_000)
    fine, diverged = train(recipe(epochs=2), candidates([ALIKE[0], DIVERGING]), problem(), CPU, strict)
    assert (fine.stopped, diverged.stopped) == (True, False)
    assert diverged.failure
    assert len(strict.seen[0][0]) == 1


def test_a_network_is_built_again_as_it_was_at_any_epoch():
    the_recipe, split, asked = recipe(epochs=3), problem(), candidates(ALIKE)
    measured = train(the_recipe, asked, split, CPU, Strict(45))
    stops = [len(one.accuracy) if one.stopped else None for one in measured]
    assert {1, None} == {*stops}
    for row, epoch in ((stops.index(1), 1), (stops.index(None), 3), (stops.index(None), 2)):
        [(net, again)] = networks_of(the_recipe, asked, split, CPU, [row], epoch, stops)
        assert (again.accuracy, again.survivors) == (
            measured[row].accuracy[:epoch],
            measured[row].survivors[:epoch],
        )
        assert survivors(net, torch.ones(1, FEATURES)).alive.sum() == measured[row].survivors[epoch - 1]
        with torch.no_grad():
            hits = net.eval()(torch.from_numpy(split.x_val)).argmax(1) == torch.from_numpy(split.y_val)
        assert hits.double().mean() == measured[row].accuracy[epoch - 1]


def test_nets_of_different_structure_are_stacked_apart_and_come_back_in_the_order_asked(monkeypatch):
    stacked = []

    class Recording(CohortTraining):
        def __init__(self, the_recipe, its_nets, values, model, rows):
            super().__init__(the_recipe, its_nets, values, model, rows)
            stacked.append((structure(model), *{value["optimizer"] for value in values}))

    asked = [genome for pair in zip(ALIKE, MIXED, strict=True) for genome in pair]
    alone = [train(recipe(), [each], problem(), CPU)[0] for each in candidates(asked)]
    monkeypatch.setattr(trainer, "CohortTraining", Recording)
    together = train(recipe(), candidates(asked), problem(), CPU)
    assert [m.layers for m in together] == [m.layers for m in alone]
    assert len({m.layers for m in alone}) > 15  # so that the order shows
    assert len(stacked) == len(set(stacked)) == 4  # adamw or sgd, regularised or not
    assert {len(kind) for kind in stacked} == {2}


def test_depth_widths_rules_and_optimisers_are_stacked_apart(monkeypatch):
    stacked = []

    class Recording(CohortTraining):
        def __init__(self, the_recipe, its_nets, *rest):
            super().__init__(the_recipe, its_nets, *rest)
            stacked.append(its_nets.size)

    monkeypatch.setattr(trainer, "CohortTraining", Recording)
    measured = train(recipe(), candidates(STRUCTURES), problem(), CPU)
    assert stacked == [2, 2, 2, 1, 1, 2, 1, 1]
    assert [len(m.layers) for m in measured] == [1, 1, 3, 3, 2, 2, 2, 2, 2, 2, 1, 2]
    assert [m.neurons for m in measured] == [37, 37, 27, 27, 28, 28, 28, 16, 90, 90, 16, 90]
    for genome, m in zip(STRUCTURES, measured, strict=True):
        assert (m.survivors[-1] == m.neurons) is ("dense" in genome.values()), genome


def test_a_net_without_mortality_is_never_due_beside_others_that_are():
    genomes = [{"units": "dense"}, {"units": "dense", "depth": 1}]
    the_recipe, rows = recipe(), len(problem().y_train)
    for more, due in (
        ([], False),
        ([{"depth": 1}], True),
        ([{"depth": 1, "warmup": 9}], False),
        ([{"depth": 2, "warmup.1": 9}], True),
    ):
        assert has_events(the_recipe, nets(the_recipe, [*genomes, *more]), rows) is due
    dense = made(the_recipe, genomes[:1], problem())
    assert not dense._due.any()


def test_the_layer_that_settles_longest_slows_the_training_down():
    cohorts = made(recipe(), [{"settle.1": 0.25, "settle.2": 0.5}], problem())
    assert cohorts._factors[:, 0].tolist() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    first, second = (cohorts.state[f"units.{layer}.settle"].item() for layer in (0, 1))
    assert (first, second) == (0.25, 0.5)


def test_only_a_regulariser_and_the_optimiser_keep_nets_of_one_rule_apart():
    the_recipe = recipe()
    regularised = [genome for genome in MIXED if {"entropy_bonus", "large_neuron_penalty"} & genome.keys()]
    plain = [genome for genome in ALIKE + MIXED if genome not in regularised]
    one, other = ({structure(net) for net in nets(the_recipe, each)} for each in (plain, regularised))
    assert (len(one), len(other)) == (1, 1)
    assert one != other


def test_the_validation_rows_alone_are_measured_and_the_test_rows_never_looked_at():
    split = problem()
    poisoned = replace(
        split,
        x_test=np.full((3, 1), np.nan, np.float32),
        y_test=np.full((5, 2), -1),
    )
    clean, other = (
        [reached(m) for m in train(recipe(epochs=2), candidates(ALIKE[:3]), each, CPU)]
        for each in (split, poisoned)
    )
    assert clean == other


def test_accuracy_is_the_fraction_of_validation_rows_over_several_chunks(monkeypatch):
    split = problem()
    whole = train(recipe(), candidates(ALIKE[:2]), split, CPU)
    monkeypatch.setattr(cohort, "EVALUATION_ROWS", 33)
    chunked = train(recipe(), candidates(ALIKE[:2]), split, CPU)
    assert [m.accuracy for m in chunked] == [m.accuracy for m in whole]
    assert all(m.accuracy[0] in {hits / 100 for hits in range(101)} for m in whole)


def minibatches(monkeypatch, the_recipe, genomes, split):
    """The training rows of every step, found by their values."""
    seen = []
    losses = CompactStack.losses

    def spy(self, loss_of, x, y):
        rows = [np.flatnonzero((split.x_train == row).all(1)).item() for row in x.numpy()]
        assert split.y_train[rows].tolist() == y.tolist()
        seen.append(rows)
        return losses(self, loss_of, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(CompactStack, "losses", spy)
        assert all(m.failure is None for m in train(the_recipe, candidates(genomes), split, CPU))
    return seen


def test_every_row_is_used_once_an_epoch_and_the_last_minibatch_is_shorter(monkeypatch):
    split = problem(70)
    seen = minibatches(monkeypatch, recipe(epochs=2), [{}], split)
    assert [len(rows) for rows in seen] == [32, 32, 6] * 2
    for epoch in (0, 1):
        order = np.random.default_rng([3, epoch]).permutation(70).tolist()
        assert list(chain(*seen[3 * epoch : 3 * epoch + 3])) == order


def test_the_order_of_rows_depends_on_study_seed_and_epoch_only(monkeypatch):
    split = problem(70)
    first = minibatches(monkeypatch, recipe(epochs=2), [{}], split)
    torch.manual_seed(4)
    np.random.seed(4)
    assert minibatches(monkeypatch, recipe((7,), True, epochs=2), ALIKE[:3], split) == first
    assert minibatches(monkeypatch, recipe(epochs=2, seed=4), [{}], split) != first
    assert first[:3] != first[3:]


def test_the_seed_of_a_net_is_a_function_of_study_genome_and_replicate():
    genome = {"learning_rate": 0.1, "penalty_form": "ratio"}
    seed = Candidate(genome, 1).seed(5)
    assert Candidate(dict(reversed(genome.items())), 1).seed(5) == seed
    others = [
        Candidate(genome, 0).seed(5),
        Candidate(genome, 1).seed(6),
        Candidate({"learning_rate": 0.1, "penalty_form": "mean"}, 1).seed(5),
        Candidate({"learning_rate": 0.1}, 1).seed(5),
    ]
    assert len({seed, *others}) == 5
    assert all(0 <= each < 2**62 for each in (seed, *others))


def test_a_genome_starts_as_the_same_net_in_any_cohort_and_another_one_elsewhere(monkeypatch):
    started = []

    class Recording(CohortTraining):
        def __init__(self, *args):
            super().__init__(*args)
            started.append([state(self, row)["layers.0.weight"] for row in range(len(args[2]))])

    monkeypatch.setattr(trainer, "CohortTraining", Recording)
    a, b, again = Candidate(ALIKE[0]), Candidate(ALIKE[1]), Candidate(ALIKE[0], replicate=1)
    for group in ([a, b, again], [b], [again, a]):
        train(recipe(), group, problem(), CPU)
    [(a1, b1, again1), (b2,), (again3, a3)] = started
    assert torch.equal(a1, a3)
    assert torch.equal(b1, b2)
    assert torch.equal(again1, again3)
    assert not torch.equal(a1, b1)
    assert not torch.equal(a1, again1)


def test_a_gene_goes_before_a_setting_and_a_setting_before_the_default():
    the_recipe = recipe(momentum=0.1, learning_rate=0.2, settle=0.3)
    genome = {"learning_rate": 0.4, "settle": 0.5}
    assert the_recipe.training_knobs(genome) == {
        "optimizer": "adamw",
        "learning_rate": 0.4,
        "weight_decay": 1e-2,
        "momentum": 0.1,
    }
    given = the_recipe.settings_for(genome)
    assert (given["settle"], given["momentum"], "handover" in given) == (0.5, 0.1, False)


def test_training_leaves_pytorchs_generator_and_the_data_as_they_were():
    split = problem()
    copies = [getattr(split, name).copy() for name in ("x_train", "y_train", "x_val", "y_val")]
    before = torch.get_rng_state()
    train(recipe(inputs=True), candidates(MIXED[-2:]), split, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    for name, copy in zip(("x_train", "y_train", "x_val", "y_val"), copies, strict=True):
        assert np.array_equal(getattr(split, name), copy)


def test_a_net_whose_units_all_die_has_collapsed_to_chance():
    deadly = {
        "unactivation_penalty": 1e3,
        "max_deaths": 1.0,
        "min_neurons": 0,
        "regrowth_rate": 0.0,
        "hebbian_threshold": 0.0,
    }
    split = problem()
    (measurement,) = train(recipe(), candidates([deadly]), split, CPU)
    assert measurement.collapsed
    assert (measurement.survivors, measurement.layers, measurement.inputs) == ((0,), (0, 0), 0)
    shares = np.bincount(split.y_val) / len(split.y_val)
    assert min(abs(shares - measurement.accuracy[-1])) < 1e-9  # one class for every row
