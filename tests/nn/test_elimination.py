"""Backward elimination against fits by least squares that are made anew after every removal."""

import numpy as np
import pytest
import torch

from hebbevo.nn.elimination import eliminated


def one(value):
    return torch.tensor([value], dtype=torch.float64)


def case(n=8, seed=0, rows=60):
    """Rows of correlated outputs, and fixed scores."""
    rng = np.random.default_rng(seed)
    y = np.maximum(rng.normal(size=(rows, 4)) @ rng.normal(size=(4, n)) + 0.5 * rng.normal(size=(rows, n)), 0)
    return y - y.mean(0), rng.normal(size=n)


def covariance(y):
    return torch.from_numpy(y.T @ y / len(y))


def brute_force(y, fixed, weight=1.0, ridge=0.0, may_leave=None, most=None):
    """Scores by refitting every unit on the rows of all others whenever a unit has left."""
    rows, n = y.shape
    left, may = list(range(n)), list(range(n)) if may_leave is None else [*may_leave]
    extra = np.sqrt(ridge * y.var(0).mean() * rows) * np.eye(n)  # a ridge is as many more rows
    data = np.vstack([y, extra])

    def scores():
        found = np.full(n, np.nan)
        for unit in left:
            others = data[:, [each for each in left if each != unit]]
            fit = np.linalg.lstsq(others, data[:, unit], rcond=None)[0] if others.size else np.zeros(0)
            error = ((data[:, unit] - others @ fit) ** 2).sum()
            found[unit] = fixed[unit] + weight * np.log(error / (data[:, unit] ** 2).sum())
        return found

    found = first = scores()
    for _ in range((n if most is None else most) - 1):
        if not may:
            break
        lowest = min(may, key=lambda unit: found[unit])
        may.remove(lowest)
        left.remove(lowest)
        after = scores()
        found = np.where([unit in may for unit in range(n)], after, found)
    return found, first


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_fits_made_anew_after_every_removal(weight, ridge, seed):
    y, fixed = case(seed=seed)
    alive = torch.ones(8, dtype=torch.bool)
    found = eliminated(torch.from_numpy(fixed), one(weight), one(ridge), covariance(y), alive)
    for ours, theirs in zip(found, brute_force(y, fixed, weight, ridge), strict=True):
        assert ours.numpy() == pytest.approx(theirs, abs=1e-8)


@pytest.mark.parametrize("most", [0, 1, 3, 8, 20])
def test_as_many_scores_are_exact_as_are_asked_for_and_others_are_as_if_each_left_next(most):
    y, fixed = case()
    alive = torch.ones(8, dtype=torch.bool)
    found, first = eliminated(torch.from_numpy(fixed), one(1.0), one(0.01), covariance(y), alive, most=most)
    theirs = brute_force(y, fixed, 1.0, 0.01, most=min(most, 8))
    assert found.numpy() == pytest.approx(theirs[0], abs=1e-8)
    assert first.numpy() == pytest.approx(theirs[1], abs=1e-8)


def test_units_that_may_not_leave_still_say_what_others_say():
    y, fixed = case(seed=4)
    may = torch.tensor([True, False, True, True, False, True, False, True])
    alive = torch.ones_like(may)
    found, _ = eliminated(torch.from_numpy(fixed), one(1.0), one(0.0), covariance(y), alive, may)
    theirs, _ = brute_force(y, fixed, may_leave=np.flatnonzero(may))
    assert found.numpy() == pytest.approx(theirs, abs=1e-8)


def test_pruned_units_predict_nothing_and_keep_their_fixed_scores():
    y, fixed = case(seed=1)
    alive = torch.tensor([True, False, True, True, False, True, True, True])
    found = eliminated(torch.from_numpy(fixed), one(1.0), one(0.01), covariance(y), alive)
    living = alive.numpy()
    for ours, theirs in zip(found, brute_force(y[:, living], fixed[living], 1.0, 0.01), strict=True):
        assert ours[alive].numpy() == pytest.approx(theirs, abs=1e-8)
        assert ours[~alive].tolist() == fixed[~living].tolist()


def test_the_order_of_scores_is_the_order_in_which_units_leave():
    y, fixed = case(n=30, rows=200)
    alive = torch.ones(30, dtype=torch.bool)
    c = covariance(y)
    arguments = torch.from_numpy(fixed), one(1.0), one(0.01), c, alive
    order = eliminated(*arguments)[0].argsort(stable=True).tolist()
    for most in (1, 5, 17):
        assert eliminated(*arguments, most=most)[0].argsort(stable=True).tolist()[:most] == order[:most]


def test_a_network_scores_beside_others_what_it_scores_alone():
    cases = [case(seed=seed) for seed in range(5)]
    fixed = torch.stack([torch.from_numpy(each) for _, each in cases])
    c = torch.stack([covariance(y) for y, _ in cases])
    alive = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)) < 0.8
    weight, ridge = torch.linspace(0.5, 2, 5).double()[:, None], torch.logspace(-6, 0, 5)[:, None]
    c[3, 2, 5] = c[3, 5, 2] = torch.nan  # the training of one has diverged
    together = eliminated(fixed, weight, ridge, c, alive, most=4)
    for row in range(5):
        alone = eliminated(fixed[row], weight[row], ridge[row], c[row], alive[row], most=4)
        for ours, theirs in zip(together, alone, strict=True):
            assert torch.equal(ours[row], theirs) or row == 3
    assert together[0][[0, 1, 2, 4]].isfinite().all()


def test_several_leading_axes_are_as_one():
    y, fixed = case()
    c, alive = covariance(y).expand(2, 3, 8, 8), torch.ones(2, 3, 8, dtype=torch.bool)
    ones = torch.ones(2, 3, 1)
    found, _ = eliminated(torch.from_numpy(fixed).expand(2, 3, 8), ones, 0.01 * ones, c, alive)
    assert found.shape == (2, 3, 8)
    assert found[1, 2].numpy() == pytest.approx(brute_force(y, fixed, 1.0, 0.01)[0], abs=1e-8)


@pytest.mark.parametrize("copies", [2, 5])
def test_of_copies_of_a_unit_all_but_one_leave_before_others(copies):
    y, _ = case(n=4, rows=500)
    y = np.hstack([y, np.repeat(y[:, :1], copies - 1, 1)])
    n = y.shape[1]
    alive = torch.ones(n, dtype=torch.bool)
    found, first = eliminated(torch.zeros(n), one(1.0), one(1e-6), covariance(y), alive)
    same = {0, *range(4, n)}
    assert {*first.argsort()[:copies].tolist()} == same
    assert len(same & {*found.argsort()[: copies - 1].tolist()}) == copies - 1
    assert {*found.argsort()[copies - 1 :].tolist()} - same == {1, 2, 3}
    assert found.isfinite().all()


@pytest.mark.parametrize("ridge", [0.0, 0.01])
@pytest.mark.parametrize("what", ["constant", "fewer rows than units", "indefinite"])
def test_singular_covariances_give_finite_scores(what, ridge):
    y, fixed = case(rows=3 if what == "fewer rows than units" else 60)
    c = covariance(y)
    if what == "constant":
        c = torch.zeros(8, 8).double()
    elif what == "indefinite":  # rounding
        c -= 1e-4 * torch.eye(8)
    found, first = eliminated(torch.from_numpy(fixed), one(1.0), one(ridge), c, torch.ones(8).bool())
    assert not found.isnan().any() and not first.isnan().any()
    if what == "constant":
        assert found.tolist() == first.tolist() == fixed.tolist()


def test_a_unit_of_no_use_leaves_first_and_scores_least():
    y, fixed = case()
    fixed[[2, 6]] = -np.inf
    found, first = eliminated(
        torch.from_numpy(fixed), one(1.0), one(0.01), covariance(y), torch.ones(8).bool()
    )
    assert found.argsort(stable=True)[:2].tolist() == [2, 6]
    assert found[[2, 6]].tolist() == first[[2, 6]].tolist() == [-np.inf, -np.inf]
    assert found[[0, 1, 3, 4, 5, 7]].isfinite().all()


def test_the_only_living_unit_is_predicted_by_none_and_without_any_nothing_happens():
    y, fixed = case()
    fixed = torch.from_numpy(fixed)
    alive = torch.tensor([False] * 3 + [True] + [False] * 4)
    for living in (alive, torch.zeros_like(alive)):
        found, first = eliminated(fixed, one(1.0), one(0.0), covariance(y), living)
        assert found.tolist() == pytest.approx(fixed.tolist(), abs=1e-12)
        assert first.tolist() == pytest.approx(fixed.tolist(), abs=1e-12)
