"""Annealing, checked by the cases of the paper, by SciPy's clustering and by counting moves."""

import itertools
import math

import moocore
import numpy as np
import pytest
from pymoo.problems import get_problem
from scipy.cluster.hierarchy import fcluster, linkage

from hebbevo.samplers import Annealing, Outcome
from hebbevo.samplers.annealing import accept, domination, follow, thin
from hebbevo.space import ChoiceGene, FloatGene, IntGene, Space, canonical
from tests.samplers.conftest import dominates

PLANE = Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 0.0, 1.0)))
ONE_STEP = {"difference_share": 0.0, "step_genes": 0.0}  # leaves the one step that every move makes
HOT, COLD = {"hot": 1e3, "cold": 1e3}, {"hot": 1e-6, "cold": 1e-6}


def after_first_generation(space, losses, settings=None, seed=0):
    """A sampler that has the given losses for its first generation, and that generation."""
    sampler = Annealing(space, seed, settings or {}, len(next(loss for loss in losses if loss)))
    outcomes = [Outcome(genome, loss) for genome, loss in zip(sampler.ask(len(losses)), losses, strict=True)]
    sampler.tell(outcomes)
    return sampler, [outcome.genome for outcome in outcomes]


def amount(one, other):
    return math.prod(abs(a - b) for a, b in zip(one, other, strict=True) if a != b)


def paper(losses, archive, current, new, temperature, draw):
    """The cases of AMOSA as its pseudocode has them, with the domination over the temperature."""
    k = [row for row in archive if dominates(losses[row], losses[new])]
    if dominates(losses[current], losses[new]):
        total = sum(amount(losses[row], losses[new]) for row in k) + amount(losses[current], losses[new])
        return new if draw < 1 / (1 + math.exp(total / (len(k) + 1) / temperature)) else current
    if not dominates(losses[new], losses[current]):
        if not k:
            return new
        average = sum(amount(losses[row], losses[new]) for row in k) / len(k)
        return new if draw < 1 / (1 + math.exp(average / temperature)) else current
    if not k:
        return new
    nearest = min(k, key=lambda row: amount(losses[row], losses[new]))
    return nearest if draw < 1 / (1 + math.exp(-amount(losses[nearest], losses[new]))) else new


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_chain_goes_where_the_cases_of_the_paper_say(objectives):
    rng = np.random.default_rng(objectives)
    outcomes = set()
    for _ in range(1000):
        losses = rng.integers(0, 6, (8, objectives)) / 5
        archive = [row for row in range(6) if not any(dominates(point, losses[row]) for point in losses[:6])]
        temperature, draw = 10 ** rng.uniform(-2, 1), rng.random()
        goes = accept(losses, archive, 6, 7, temperature, draw)
        assert goes == paper(losses, archive, 6, 7, temperature, draw)
        outcomes.add(("archive", "current", "new")[max(0, goes - 5)])
    assert outcomes == {"archive", "current", "new"}


@pytest.mark.parametrize(
    ("current", "new", "archive", "probability"),
    [
        ((0.0, 0.0), (0.5, 0.2), (1.0, -1.0), 1 / (1 + math.exp(0.1 / 0.2))),
        ((0.0, 0.0), (0.5, 0.0), (1.0, -1.0), 1 / (1 + math.exp(0.5 / 0.2))),
        ((0.0, 0.0), (0.5, 0.2), (0.5, 0.1), 1 / (1 + math.exp((0.1 + 0.1) / 2 / 0.2))),
        ((0.9, 0.1), (0.5, 0.2), (0.2, 0.1), 1 / (1 + math.exp(0.3 * 0.1 / 0.2))),
        ((0.9, 0.1), (0.5, 0.2), (0.2, 0.3), 1.0),
        ((0.9, 0.9), (0.5, 0.2), (0.2, 0.1), 1 - 1 / (1 + math.exp(-0.3 * 0.1))),
        ((0.5, 0.2), (0.5, 0.2), (0.2, 0.3), 1.0),
    ],
    ids=["worse", "worse in one", "worse, archive too", "archive only", "neither", "better", "equal"],
)
def test_the_probability_of_a_move_is_that_of_the_paper_over_the_temperature(
    current, new, archive, probability
):
    losses = np.array([archive, current, new])
    draws = np.linspace(0, 1, 501)[:-1]
    taken = np.mean([accept(losses, [0], 1, 2, 0.2, draw) == 2 for draw in draws])
    assert taken == pytest.approx(probability, abs=3e-3)


def test_an_objective_in_which_points_do_not_differ_has_no_part_in_the_domination():
    points = np.array([[0.0, 0.5, 0.25], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    assert domination(points, np.array([0.5, 0.5, 0.5])).tolist() == [0.5 * 0.25, 1.0, 0.125]


def test_a_dominated_chain_follows_the_nearest_of_the_archive_and_more_often_when_cold():
    losses = np.array([[0.0, 0.4], [0.1, 0.1], [0.4, 0.0], [0.6, 0.15], [0.05, 0.2]])
    amounts = (0.5 * 0.05, 0.2 * 0.15)  # of rows 1 and 2 over row 3
    for temperature in (0.001, 0.01, 0.1, 1e9):
        goes = [follow(losses, [0, 1, 2], 3, temperature, draw) for draw in np.linspace(0, 1, 501)[:-1]]
        assert set(goes) <= {1, 3}
        stays = 1 / (1 + math.exp(min(700.0, sum(amounts) / 2 / temperature)))
        assert goes.count(3) / 500 == pytest.approx(stays, abs=3e-3)
        assert follow(losses, [0, 1, 2], 4, temperature, 0.999) == 4  # no point dominates it


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 7, 29, 30, 40])
def test_thinning_keeps_the_middle_of_each_single_linkage_cluster(objectives, size):
    for seed in range(5):
        points = np.random.default_rng(seed).random((30, objectives))
        labels = fcluster(linkage(points, "single"), size, "maxclust")  # SciPy 1.17
        expected = []
        for name in set(labels):
            rows = np.flatnonzero(labels == name)
            apart = [np.linalg.norm(points[row] - points[rows], axis=1).mean() for row in rows]
            expected.append(min(apart))
        kept = thin(points, size)
        assert kept == sorted(set(kept)) and len(kept) == min(size, 30)
        assert sorted(labels[kept]) == sorted(set(labels))
        mean = [np.linalg.norm(points[row] - points[labels == labels[row]], axis=1).mean() for row in kept]
        assert sorted(mean) == pytest.approx(sorted(expected))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_archive_is_the_front_of_everything_seen(objectives):
    rng = np.random.default_rng(objectives)
    sampler = Annealing(PLANE, 0, {"archive": 1000}, objectives)
    seen = []
    for _ in range(6):
        losses = [tuple((rng.integers(0, 30, objectives) / 29).tolist()) for _ in range(20)]
        seen += losses
        sampler.tell([Outcome(g, loss) for g, loss in zip(sampler.ask(20), losses, strict=True)])
        front = {loss for loss in seen if not any(dominates(other, loss) for other in seen)}
        assert sorted(outcome.losses for outcome in sampler.archive) == sorted(front)


def test_a_move_that_only_a_thinned_out_chain_dominates_does_not_enter_the_archive():
    sampler, _ = after_first_generation(PLANE, [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)], {"archive": 1})
    (kept,) = {outcome.losses for outcome in sampler.archive}
    assert kept == (0.5, 0.5)
    assert [sampler.chains[chain].losses for chain in (0, 2)] == [(0.0, 1.0), (1.0, 0.0)]
    worse = [(0.0, 1.1), None, None]
    sampler.tell([Outcome(g, loss) for g, loss in zip(sampler.ask(3), worse, strict=True)])
    assert [outcome.losses for outcome in sampler.archive] == [kept]


def test_a_full_archive_is_thinned_and_stays_bounded():
    sampler = Annealing(PLANE, 0, {"archive": 5})
    sizes = []
    for generation in range(8):
        genomes = sampler.ask(7)
        sampler.tell([Outcome(g, (g["x"], -g["x"] - 1e-3 * generation)) for g in genomes])
        sizes.append(len(sampler.archive))
    assert max(sizes) <= 10
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))


def test_of_points_with_equal_losses_the_archive_holds_the_latest():
    sampler, _ = after_first_generation(PLANE, [(0.5, 0.5)] * 5)
    for _ in range(3):
        genomes = sampler.ask(5)
        sampler.tell([Outcome(genome, (0.5, 0.5)) for genome in genomes])
        assert [outcome.genome for outcome in sampler.archive] == genomes[-1:]


def test_a_point_that_meets_the_constraints_replaces_the_others_in_the_archive():
    sampler = Annealing(PLANE, 0, {})
    genomes = sampler.ask(6)
    sampler.tell([Outcome(g, (g["x"], g["y"]), 1.0 + i) for i, g in enumerate(genomes)])
    assert [outcome.genome for outcome in sampler.archive] == genomes[:1]
    genomes = sampler.ask(6)
    sampler.tell([Outcome(g, (9.0, 9.0), 0.0 if i == 4 else 0.5) for i, g in enumerate(genomes)])
    assert [outcome.genome for outcome in sampler.archive] == [genomes[4]]


def test_a_failed_training_is_a_rejected_move():
    sampler, _ = after_first_generation(PLANE, [(0.0, 1.0), (1.0, 0.0), None, (0.4, 0.4)])
    genomes = sampler.ask(4)
    before, archive = dict(sampler.chains), list(sampler.archive)
    sampler.tell([Outcome(genome, None) for genome in genomes])
    assert (sampler.chains, sampler.archive) == (before, archive)
    assert sorted(before) == [0, 1, 2, 3]  # the third began on the archive


@pytest.mark.parametrize(("settings", "share"), [(HOT, 0.5), (COLD, 0.0)], ids=["hot", "cold"])
def test_a_worse_point_is_taken_half_the_time_when_hot_and_never_when_cold(settings, share):
    sampler, _ = after_first_generation(PLANE, [(0.0,)] * 400, settings)
    genomes = sampler.ask(400)
    sampler.tell([Outcome(genome, (1.0,)) for genome in genomes])
    moved = sum(chain.losses == (1.0,) for chain in sampler.chains.values())
    # a worse point is taken with 1/2, and then stays, not following the archive, with 1/2
    assert moved / 400 == pytest.approx(share / 2, abs=0.07)


def test_every_generation_accepts_moves_by_its_own_random_numbers():
    sampler, _ = after_first_generation(PLANE, [(0.0,)] * 60, {**HOT, "anneals": 10})
    moved = []
    for progress in (0.1, 0.2, 0.3):  # each on the archive again
        sampler.tell([Outcome(genome, (1.0,)) for genome in sampler.ask(60, progress)])
        moved.append(tuple(sampler.chains[chain].losses for chain in range(60)))
    assert len(set(moved)) == 3


def test_the_temperature_falls_geometrically_over_the_budget_and_rises_again_for_every_anneal():
    sampler = Annealing(PLANE, 0, {"hot": 1.0, "cold": 0.01, "anneals": 2})
    temperatures = []
    for progress in (0.0, 0.25, 0.4999, 0.5, 0.75):
        genomes = sampler.ask(3, progress)
        temperatures.append(sampler.temperature)
        sampler.tell([Outcome(genome, (0.0, 0.0)) for genome in genomes])
    assert temperatures == pytest.approx([1.0, 0.1, 0.01, 1.0, 0.1], rel=1e-2)


def test_every_chain_begins_a_new_anneal_on_the_archive():
    sampler, _ = after_first_generation(
        PLANE, [(0.0, 1.0), (1.0, 0.0), *[(2.0, 2.0)] * 8], {**HOT, "anneals": 2}
    )
    for progress in (0.2, 0.4, 0.6):
        genomes = sampler.ask(10, progress)
        elsewhere = [chain for chain in sampler.chains.values() if chain not in sampler.archive]
        assert bool(elsewhere) == (progress < 0.5)
        sampler.tell([Outcome(genome, (2.0, 3.0)) for genome in genomes])


def test_a_larger_generation_adds_chains_and_a_smaller_one_lets_the_last_rest():
    sampler, _ = after_first_generation(PLANE, [(0.0, 1.0), (1.0, 0.0)])
    sampler.tell([Outcome(genome, (3.0, 3.0)) for genome in sampler.ask(5)])
    assert sorted(sampler.chains) == [0, 1, 2, 3, 4]
    resting = [sampler.chains[chain] for chain in (3, 4)]
    sampler.tell([Outcome(genome, (-1.0, -1.0)) for genome in sampler.ask(3)[:2]])
    assert all(sampler.chains[chain] in (*resting, *sampler.archive) for chain in (3, 4))


MIXED = Space(
    (
        FloatGene("rate", 1e-4, 1e-1, log=True),
        IntGene("width", 1, 100),
        IntGene("stride", 10, 95, step=7),
        ChoiceGene("kind", ("plain", "deep", 3, True)),
    )
)


def moves(sampler, start, n):
    rng = np.random.default_rng(0)
    return [sampler.space.from_unit(sampler.move(Outcome(start, (0.0, 0.0)), rng)) for _ in range(n)]


def test_every_move_changes_one_gene_however_small_the_step():
    sampler, genomes = after_first_generation(MIXED, [(0.0, 1.0), (1.0, 0.0)], {**ONE_STEP, "step": 1e-6})
    for start in genomes:
        changed = {name: 0 for name in start}
        for genome in moves(sampler, start, 400):
            (name,) = [name for name in start if genome[name] != start[name]]
            changed[name] += 1
            if name != "kind":
                gap = {"rate": 1e-3 * start["rate"], "width": 1, "stride": 7}[name]
                assert abs(genome[name] - start[name]) <= gap
        assert all(count == pytest.approx(100, abs=30) for count in changed.values())


def test_an_int_at_its_bound_steps_inside_and_a_choice_goes_to_every_other():
    sampler, _ = after_first_generation(MIXED, [(0.0, 1.0), (1.0, 0.0)], {**ONE_STEP, "step": 0.0})
    start = {"rate": 1e-2, "width": 100, "stride": 10, "kind": True}
    found = moves(sampler, start, 400)
    assert {genome["width"] for genome in found} == {100, 99}
    assert {genome["stride"] for genome in found} == {10, 17}
    kinds = [genome["kind"] for genome in found if genome["kind"] is not True]
    assert {kind: kinds.count(kind) / len(kinds) for kind in kinds} == pytest.approx(
        dict.fromkeys(("plain", "deep", 3), 1 / 3), abs=0.12
    )


def test_steps_of_floats_are_laplace_shrink_with_the_temperature_and_stay_in_the_range():
    line = Space((FloatGene("x", 0.0, 1.0),))
    settings = {**ONE_STEP, "step": 0.08, "hot": 0.5, "cold": 0.5e-4, "anneals": 1}
    sampler, _ = after_first_generation(line, [(0.0, 1.0), (1.0, 0.0)], settings)
    for progress, length in ((0.0, 0.08), (0.5, 0.08 * 0.01**0.25)):
        sampler.progress = progress
        x = np.array([genome["x"] for genome in moves(sampler, {"x": 0.5}, 2000)]) - 0.5
        assert np.abs(x).mean() == pytest.approx(length, rel=0.06)  # of a Laplace variable: its scale
        assert np.sqrt((x**2).mean()) == pytest.approx(math.sqrt(2) * length, rel=0.06)
    sampler.progress = 0.0
    edge = np.array([genome["x"] for genome in moves(sampler, {"x": 0.99}, 2000)])
    assert edge.max() <= 1.0
    assert (edge == 1.0).mean() < 0.01  # reflected, not clipped
    assert (1 - edge).mean() == pytest.approx(0.08, rel=0.06)


def test_genes_step_as_often_as_the_setting_says():
    wide = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(40)))
    sampler, genomes = after_first_generation(
        wide, [(0.0, 1.0), (1.0, 0.0)], {"difference_share": 0.0, "step_genes": 5.0}
    )
    changes = [sum(g[name] != genomes[0][name] for name in g) for g in moves(sampler, genomes[0], 300)]
    assert np.mean(changes) == pytest.approx(5.0, rel=0.1)


def test_every_gene_steps_where_the_setting_is_their_number():
    cube = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(3)))
    sampler, genomes = after_first_generation(
        cube, [(0.0, 1.0), (1.0, 0.0)], {"difference_share": 0.0, "step_genes": 3.0}
    )
    for genome in moves(sampler, genomes[0], 50):
        assert all(genome[name] != genomes[0][name] for name in genome)


def test_a_difference_between_points_of_one_choice_leaves_the_choice_of_a_chain():
    space = Space((FloatGene("x", 0.0, 1.0), ChoiceGene("kind", tuple("abcdef"))))
    sampler = Annealing(space, 0, {"difference_share": 1.0, "step_genes": 0.0, "step": 0.0})
    genomes = sampler.ask(12)
    kind = genomes[0]["kind"]
    sampler.tell([Outcome(g, (g["x"], -g["x"]) if g["kind"] == kind else None) for g in genomes])
    other = next(choice for choice in "abcdef" if choice != kind)
    found = moves(sampler, {"x": 0.5, "kind": other}, 300)
    kept = sum(genome["kind"] == other for genome in found)
    assert kept == pytest.approx(150, abs=40)  # every second time the one step is the choice's


def test_a_difference_is_the_way_between_two_points_and_a_choice_of_one_of_them():
    space = Space(
        (FloatGene("x", 0.0, 1.0), ChoiceGene("kind", tuple("abcdef")), FloatGene("still", 0.0, 1.0))
    )
    sampler, genomes = after_first_generation(
        space, [(0.0, 1.0), (1.0, 0.0)], {"difference_share": 1.0, "step_genes": 0.0, "step": 0.0}
    )
    way = genomes[0]["x"] - genomes[1]["x"]
    start = {"x": 0.5, "kind": "c", "still": 0.5}
    found = [genome for genome in moves(sampler, start, 300) if genome["x"] != 0.5]
    assert len(found) == pytest.approx(150, abs=40)
    for genome in found:
        assert abs(genome["x"] - 0.5) == pytest.approx(abs(way))
    redrawn = {genome["kind"] for genome in found} - {genomes[0]["kind"], genomes[1]["kind"]}
    assert (
        sum(genome["kind"] in {genomes[0]["kind"], genomes[1]["kind"]} for genome in found) > len(found) / 2
    )
    assert redrawn  # the one step that every move makes was sometimes the choice's


CONDITIONAL = Space(
    (
        ChoiceGene("kind", ("plain", "rich")),
        FloatGene("gain", 0.0, 1.0, when=(("kind", ("rich",)),)),
        IntGene("depth", 1, 3, when=(("kind", ("rich",)),)),
        FloatGene("tail", 0.0, 1.0, when=(("depth", (3,)),)),
    )
)


def test_genes_that_become_active_are_drawn_and_inactive_genes_never_step():
    sampler, _ = after_first_generation(CONDITIONAL, [(0.0, 1.0), (1.0, 0.0)], ONE_STEP)
    found = moves(sampler, {"kind": "plain"}, 300)
    assert all(genome["kind"] == "rich" for genome in found)  # plain has no other gene to step
    gains = [genome["gain"] for genome in found]
    assert np.histogram(gains, 3, (0, 1))[0].min() > 70
    assert {genome["depth"] for genome in found} == {1, 2, 3}
    tails = [genome["tail"] for genome in found if "tail" in genome]
    assert min(tails) < 0.2 and max(tails) > 0.8


def test_a_gene_that_one_of_two_points_lacks_gets_no_difference():
    sampler, genomes = after_first_generation(
        CONDITIONAL, [(0.0, 1.0), (1.0, 0.0)], {"difference_share": 1.0, "step": 0.0}
    )
    assert sorted(genome["kind"] for genome in genomes) == ["plain", "rich"]  # two strata, one each
    found = moves(sampler, {"kind": "rich", "gain": 0.25, "depth": 1}, 200)
    gains = [genome["gain"] for genome in found if "gain" in genome]
    assert len(gains) > 50
    assert gains == pytest.approx([0.25] * len(gains))


def test_genes_that_stay_active_keep_their_values():
    sampler, _ = after_first_generation(CONDITIONAL, [(0.0, 1.0), (1.0, 0.0)], {**ONE_STEP, "step": 0.0})
    start = {"kind": "rich", "gain": 0.25, "depth": 3, "tail": 0.75}
    kept = [
        genome
        for genome in moves(sampler, start, 300)
        if genome["depth" if "depth" in genome else "kind"] == 3
    ]
    assert len(kept) > 100
    assert all((genome["gain"], genome["tail"]) == pytest.approx((0.25, 0.75)) for genome in kept)


def test_a_generation_has_no_genome_twice_and_none_that_was_seen():
    grid = Space(tuple(IntGene(f"n{i}", 0, 9) for i in range(4)))
    sampler = Annealing(grid, 0, {})
    seen = set()
    for generation in range(12):
        genomes = sampler.ask(20, generation / 12)
        names = {canonical(genome) for genome in genomes}
        if generation:  # the hypercube of the first generation may have equal ints
            assert len(names) == 20
            assert not names & seen
        seen |= names
        sampler.tell([Outcome(g, (sum(g.values()) + 0.0, 9.0 - g["n0"])) for g in genomes])


def test_a_replay_with_the_recorded_progress_asks_the_same():
    def run(sampler, stop):
        asked = []
        for generation, (n, cut) in enumerate([(9, 9), (9, 4), (12, 12), (5, 5), (9, 0), (9, 9)][:stop]):
            genomes = sampler.ask(n, generation / 6)
            asked.append(genomes)
            sampler.tell(
                [
                    Outcome(g, None if g["width"] > 90 else (g["rate"], 1.0 / g["width"]))
                    for g in genomes[:cut]
                ]
            )
        return asked

    settings = {"anneals": 2, "archive": 4, **HOT}
    whole = run(Annealing(MIXED, 5, settings), 6)
    for killed_after in range(6):
        resumed = Annealing(MIXED, 5, settings)
        assert run(resumed, killed_after) == whole[:killed_after]
    assert run(Annealing(MIXED, 6, settings), 6) != whole


def evaluations(problem, sampler, n, generations):
    found = []
    for generation in range(generations):
        genomes = sampler.ask(n, generation / generations)
        losses = problem(np.array([list(genome.values()) for genome in genomes]))
        found.append(losses)
        sampler.tell([Outcome(g, tuple(row)) for g, row in zip(genomes, losses.tolist(), strict=True)])
    return np.vstack(found)


def test_it_closes_most_of_the_gap_that_random_search_leaves_on_zdt1():
    problem = get_problem("zdt1", n_var=10)
    space = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(10)))
    for seed in range(2):
        found = evaluations(problem.evaluate, Annealing(space, seed, {}), 50, 10)
        random = problem.evaluate(np.random.default_rng(seed).random((500, 10)))
        best, annealed, drawn = (
            float(moocore.hypervolume(points, ref=[1.0, 6.0]))
            for points in (problem.pareto_front(), found, random)
        )
        assert best - annealed < 0.5 * (best - drawn)


def test_with_one_objective_it_finds_the_middle_of_a_bowl():
    space = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(5)))

    def bowl(x):
        return ((x - 0.4) ** 2).sum(axis=1, keepdims=True)

    for seed in range(3):
        found = evaluations(bowl, Annealing(space, seed, {}, 1), 20, 15)
        assert found.min() < 0.2 * bowl(np.random.default_rng(seed).random((300, 5))).min()
