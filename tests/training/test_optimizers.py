"""Stacked optimisers against PyTorch's own, one for each net."""

import pytest
import torch

from hebbevo.nn import plastic
from hebbevo.training.knobs import KNOBS
from hebbevo.training.optimizers import OPTIMIZERS, SGD, AdamW, OwnStepsAdamW

SHAPES = {"weight": (5, 3), "bias": (5,), "scalar": ()}
HYPER = [
    {"learning_rate": 1e-3, "weight_decay": 1e-2, "momentum": 0.9},
    {"learning_rate": 3e-2, "weight_decay": 0.0, "momentum": 0.0},
    {"learning_rate": 1e-4, "weight_decay": 1.0, "momentum": 0.99},
    {"learning_rate": 0.5, "weight_decay": 1e-3, "momentum": 0.5},
]
STEPS = 50


def start():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(len(HYPER), *shape, generator=generator) for name, shape in SHAPES.items()}


def gradients():
    """Noise of very different sizes over the steps, and always zero in places."""
    generator = torch.Generator().manual_seed(2)
    for step in range(STEPS):
        grads = [
            torch.randn(len(HYPER), *s, generator=generator) * 10 ** (step % 5 - 3) for s in SHAPES.values()
        ]
        grads[0][:, 2] = 0
        yield step, grads


def factors(step):
    """Learning-rate factors of the nets: one never slows down."""
    left = 1 - step / STEPS
    return torch.tensor([1.0, left, left**2, 0.5])


def torch_adamw(weights, hyper):
    return torch.optim.AdamW(weights, lr=hyper["learning_rate"], weight_decay=hyper["weight_decay"])


def torch_sgd(weights, hyper):
    optimizer = torch.optim.SGD(weights, lr=hyper["learning_rate"], momentum=hyper["momentum"])

    def shrink(*_):
        with torch.no_grad():
            for weight in weights:
                weight *= 1 - optimizer.param_groups[0]["lr"] * hyper["weight_decay"]

    optimizer.register_step_pre_hook(shrink)
    return optimizer


ALL = OPTIMIZERS | {"own steps": OwnStepsAdamW}
ORACLES = {"adamw": torch_adamw, "sgd": torch_sgd, "own steps": torch_adamw}


def alone(name, row, steps=STEPS):
    """Weights and moments of one net after PyTorch's own optimiser."""
    weights = [torch.nn.Parameter(value[row].clone()) for value in start().values()]
    optimizer = ORACLES[name](weights, HYPER[row])
    for step, grads in gradients():
        if step == steps:
            break
        optimizer.param_groups[0]["lr"] = HYPER[row]["learning_rate"] * factors(step)[row].item()
        for weight, grad in zip(weights, grads, strict=True):
            weight.grad = grad[row].clone()
        optimizer.step()
    kinds = ("momentum_buffer",) if name == "sgd" else ("exp_avg", "exp_avg_sq")
    states = [optimizer.state[weight] for weight in weights]
    moments = [[state[kind] for kind in kinds if state.get(kind) is not None] for state in states]
    return [weight.detach() for weight in weights], moments


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_every_net_is_updated_as_by_pytorchs_optimiser_with_its_hyperparameters(name):
    parameters = start()
    optimizer = ALL[name](parameters, HYPER)
    for step, grads in gradients():
        optimizer.step(parameters, grads, factors(step))
    for row in range(len(HYPER)):
        weights, moments = alone(name, row)
        for key, weight, state in zip(SHAPES, weights, moments, strict=True):
            assert_close(parameters[key][row], weight)
            for ours, theirs in zip(optimizer.moments[key], state, strict=False):
                assert_close(ours[row], theirs)


def test_on_a_gpu_all_nets_are_updated_at_once_to_the_same_weights(monkeypatch):
    monkeypatch.setattr(plastic, "runs_ahead", lambda tensor: True)
    test_every_net_is_updated_as_by_pytorchs_optimiser_with_its_hyperparameters("adamw")


@pytest.mark.parametrize("name", ALL)
def test_nets_that_are_separated_and_joined_again_keep_their_own_state(name):
    parameters, whole = start(), start()
    optimizer, straight = ALL[name](parameters, HYPER), ALL[name](whole, HYPER)
    order = torch.tensor([2, 0, 3, 1])
    for step, grads in gradients():
        straight.step(whole, grads, factors(step))
        if step < 20:
            optimizer.step(parameters, grads, factors(step))
            continue
        halves = []
        for rows in (order[:2], order[2:]):
            moments = {key: tuple(each[rows] for each in own) for key, own in optimizer.moments.items()}
            part = optimizer.of(rows, moments)
            own = {key: value[rows] for key, value in parameters.items()}
            part.step(own, [grad[rows] for grad in grads], factors(step)[rows])
            halves.append((own, part))
        back = order.argsort()
        together = type(optimizer).joined([part for _, part in halves])
        optimizer = together.of(
            back, {key: tuple(each[back] for each in own) for key, own in together.moments.items()}
        )
        parameters = {key: torch.cat([own[key] for own, _ in halves])[back] for key in parameters}
    for key in SHAPES:
        assert torch.equal(parameters[key], whole[key])


@pytest.mark.parametrize("name", ALL)
def test_the_nets_that_are_kept_keep_their_own_state(name):
    kept = torch.tensor([3, 0])
    parameters = start()
    optimizer = ALL[name](parameters, HYPER)
    for step, grads in gradients():
        factor = factors(step)
        if step == 20:
            optimizer.keep(kept)
            parameters = {key: value[kept] for key, value in parameters.items()}
        if step >= 20:
            grads, factor = [grad[kept] for grad in grads], factor[kept]
        optimizer.step(parameters, grads, factor)
    for place, row in enumerate(kept.tolist()):
        for key, weight in zip(SHAPES, alone(name, row)[0], strict=True):
            assert_close(parameters[key][place], weight)


@pytest.mark.parametrize("name", ALL)
def test_a_net_without_gradients_only_decays(name):
    parameters = start()
    optimizer = ALL[name](parameters, HYPER)
    zeros = [torch.zeros_like(value) for value in parameters.values()]
    optimizer.step(parameters, zeros, torch.ones(len(HYPER)))
    for row, hyper in enumerate(HYPER):
        shrink = 1 - hyper["learning_rate"] * hyper["weight_decay"]
        torch.testing.assert_close(parameters["weight"][row], start()["weight"][row] * shrink)


@pytest.mark.parametrize("name", ALL)
def test_infinite_gradients_of_one_net_do_not_touch_the_others(name):
    results = []
    for bad in (float("nan"), float("inf"), 1.0):
        parameters = start()
        optimizer = ALL[name](parameters, HYPER)
        grads = [torch.ones_like(value) for value in parameters.values()]
        for grad in grads:
            grad[1] = bad
        optimizer.step(parameters, grads, torch.ones(len(HYPER)))
        results.append({key: value[[0, 2, 3]] for key, value in parameters.items()})
    for other in results[:2]:
        assert all(torch.equal(other[key], results[2][key]) for key in SHAPES)


def test_moments_are_of_the_parameters_shape_and_start_at_zero():
    parameters = start()
    for optimizer, count in ((AdamW, 2), (SGD, 1), (OwnStepsAdamW, 4)):
        moments = optimizer(parameters, HYPER).moments
        assert moments.keys() == SHAPES.keys()
        for key, entries in moments.items():
            assert [entry.shape for entry in entries] == [parameters[key].shape] * count
            assert not any(entry.any() for entry in entries)


def test_every_knob_has_a_default_in_its_range_and_every_optimiser_a_name():
    assert all(knob.problem(knob.default) is None for knob in KNOBS.values())
    assert KNOBS["optimizer"].choices == tuple(OPTIMIZERS)


@pytest.mark.parametrize("name", ALL)
def test_parameters_without_weight_decay_are_updated_as_if_it_were_zero(name):
    parameters, without = start(), start()
    optimizer = ALL[name](parameters, HYPER)
    optimizer.undecayed = frozenset({"bias"})
    other = ALL[name](without, [hyper | {"weight_decay": 0.0} for hyper in HYPER])
    decayed = start()
    third = ALL[name](decayed, HYPER)
    for step, grads in gradients():
        for one, own in ((optimizer, parameters), (other, without), (third, decayed)):
            one.step(own, grads, factors(step))
    assert torch.equal(parameters["bias"], without["bias"])
    for key in ("weight", "scalar"):
        assert torch.equal(parameters[key], decayed[key])
        assert not torch.equal(parameters[key], without[key])


# own steps


REDRAWN = {0: (10, 30), 3: (11,), 4: (49,)}  # units, and the steps before which their weights are drawn anew


def fresh_row(row, unit, step):
    generator = torch.Generator().manual_seed(1000 * row + 10 * step + unit)
    return torch.randn(SHAPES["weight"][1], generator=generator)


def test_weights_that_are_drawn_anew_are_updated_as_by_a_fresh_optimiser():
    parameters = start()
    optimizer = OwnStepsAdamW(parameters, HYPER)
    for step, grads in gradients():
        for unit, steps in REDRAWN.items():
            if step in steps:
                for moment in optimizer.moments["weight"]:
                    moment[:, unit] = 0
                for row in range(len(HYPER)):
                    parameters["weight"][row, unit] = fresh_row(row, unit, step)
        optimizer.step(parameters, grads, factors(step))
    for row, hyper in enumerate(HYPER):
        # each unit by an optimiser of its own, and by another one after its weights are drawn anew
        units = [torch.nn.Parameter(each.clone()) for each in start()["weight"][row]]
        own = [torch_adamw([unit], hyper) for unit in units]
        for step, grads in gradients():
            for place, unit in enumerate(units):
                if step in REDRAWN.get(place, ()):
                    unit.data.copy_(fresh_row(row, place, step))
                    own[place] = torch_adamw([unit], hyper)
                own[place].param_groups[0]["lr"] = hyper["learning_rate"] * factors(step)[row].item()
                unit.grad = grads[0][row, place].clone()
                own[place].step()
        assert_close(parameters["weight"][row], torch.stack(units).detach())


def test_without_their_own_steps_fresh_weights_move_several_times_as_far():
    moved = {}
    for kind in (AdamW, OwnStepsAdamW):
        parameters = {"weight": torch.zeros(1, 1)}
        optimizer = kind(parameters, HYPER[1:2])
        for step in range(1000):
            if step == 990:
                for values in (parameters["weight"], *optimizer.moments["weight"]):
                    values.zero_()
            optimizer.step(parameters, [torch.ones(1, 1)], torch.ones(1))
        moved[kind] = float(parameters["weight"])
    assert moved[OwnStepsAdamW] == pytest.approx(-10 * HYPER[1]["learning_rate"], rel=1e-4)
    assert 4 < moved[AdamW] / moved[OwnStepsAdamW] < 6
