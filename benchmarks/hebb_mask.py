"""HebbMask on MNIST: how many connections of the last layer go out, and what that costs.

A net 784-128-10 whose last layer alone is masked, as the original masked it, beside the same net unmasked.
First the original's own constants, at a batch of one and at the mean over 64. Then the curve over rate and
threshold. Then with decay, where the rule can remove almost all connections. Every row with decay stands
beside two controls with exactly as many connections: a random mask that never changes, and the unmasked net
whose smallest last weights are cut at the end. The seeds differ from those with which the constants were
chosen.

    HEBBEVO_DATA=... python benchmarks/hebb_mask.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from statistics import fmean, median, stdev

import numpy as np
import torch
from throughput import processor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load, split
from hebbevo.nn import HebbMask

HIDDEN, CLASSES, FIRST_SEED = 128, 10, 10


@dataclass(frozen=True)
class Recipe:
    """A training of the net.

    Attributes:
        relu: whether the hidden layer is rectified; the original's is linear.
        images: training images, 0 for all.
        pixels: whether inputs are pixels of 0 to 1, else standardised.
        adam: AdamW, else plain gradient descent.
    """

    relu: bool
    images: int = 0
    batch: int = 64
    epochs: int = 3
    learning_rate: float = 0.1
    adam: bool = False
    pixels: bool = False


@dataclass(frozen=True)
class Reached:
    """Validation accuracy, fraction of the last layer's connections that are out, hidden neurons in use."""

    accuracy: float
    out: float = 0.0
    neurons: int = HIDDEN


@cache
def data(pixels: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and validation rows."""
    parts = split(load("mnist"), seed=0, batch_size=64)
    x, y, x_val, y_val = map(torch.from_numpy, (parts.x_train, parts.y_train, parts.x_val, parts.y_val))
    if pixels:
        scale, mean = torch.from_numpy(parts.scale), torch.from_numpy(parts.mean)
        x, x_val = (x * scale + mean) / 255, (x_val * scale + mean) / 255
    return x, y, x_val, y_val


def accuracy(net: nn.Module, pixels: bool) -> float:
    _, _, x, y = data(pixels)
    with torch.no_grad():
        return (net.eval()(x).argmax(1) == y).float().mean().item()


def images(recipe: Recipe) -> int:
    return recipe.images or len(data(recipe.pixels)[0])


def train(recipe: Recipe, last: nn.Module, seed: int) -> nn.Module:
    """Train a net that ends in ``last``; nets of one recipe and seed differ in ``last`` only."""
    x, y, _, _ = data(recipe.pixels)
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(len(x))[: images(recipe)])
    torch.manual_seed(seed)
    first = nn.Linear(x.shape[1], HIDDEN)
    net = nn.Sequential(first, nn.ReLU() if recipe.relu else nn.Identity(), last)
    optimizer = (torch.optim.AdamW if recipe.adam else torch.optim.SGD)(
        net.parameters(), lr=recipe.learning_rate
    )
    for _ in range(recipe.epochs):
        for batch in rows[torch.from_numpy(rng.permutation(len(rows)))].split(recipe.batch):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    return net


def head(seed: int) -> nn.Linear:
    torch.manual_seed(1000 + seed)
    return nn.Linear(HIDDEN, CLASSES)


@cache
def dense(recipe: Recipe, seed: int) -> nn.Module:
    return train(recipe, head(seed), seed)


def reached(recipe: Recipe, net: nn.Module, mask: Tensor) -> Reached:
    return Reached(accuracy(net, recipe.pixels), 1 - mask.float().mean().item(), int(mask.any(0).sum()))


def masked(recipe: Recipe, knobs: Mapping[str, float | str], seed: int) -> Reached:
    last = HebbMask(head(seed), ["weight"], **knobs)
    last.begin(recipe.epochs * -(-images(recipe) // recipe.batch))
    return reached(recipe, train(recipe, last, seed), last.masks()["weight"])


def random_mask(recipe: Recipe, out: float, seed: int) -> Reached:
    """Mask as many connections at random from the start, and never change the mask."""
    last = HebbMask(head(seed), ["weight"], permanence_rate=0.0)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(HIDDEN * CLASSES, generator=generator).reshape(CLASSES, HIDDEN)
    mask = order >= round(out * order.numel())
    last.masks()["weight"].copy_(mask)
    last.permanences()["weight"].copy_(torch.where(mask, 1, -1))
    return reached(recipe, train(recipe, last, seed), mask)


def smallest_cut(recipe: Recipe, out: float, seed: int) -> Reached:
    """Cut as many of the smallest last weights of the unmasked net after its training."""
    *before, last = dense(recipe, seed).children()
    order = last.weight.abs().flatten().argsort().argsort().reshape(last.weight.shape)
    mask = order >= round(out * order.numel())
    cut = nn.Linear(HIDDEN, CLASSES)
    cut.load_state_dict({"weight": last.weight * mask, "bias": last.bias})
    return reached(recipe, nn.Sequential(*before, cut), mask)


def spread(values: Iterable[float], factor: float = 1.0, digits: int = 1) -> str:
    """Mean and standard deviation over the seeds."""
    scaled = [value * factor for value in values]
    return f"{fmean(scaled):.{digits}f} ± {stdev(scaled):.{digits}f}"


def cells(found: Sequence[Reached], unmasked: Sequence[float]) -> list[str]:
    loss = [each.accuracy - alone for each, alone in zip(found, unmasked, strict=True)]
    return [
        spread((each.accuracy for each in found), 100, 2),
        spread(loss, 100, 2),
        spread((each.out for each in found), 100),
        spread((each.neurons for each in found), digits=0),
    ]


def show(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


CONTROLS = ("random mask %", "smallest cut %")
FOUND = ("accuracy %", "minus unmasked", "out %", f"neurons of {HIDDEN}")


def published(seeds: Sequence[int]) -> Iterable[list[str]]:
    """The original's constants: threshold 0, no decay."""
    few = Recipe(relu=True, images=3000, pixels=True)
    settings = [
        (Recipe(**{**vars(few), "batch": 1, "epochs": 5, "learning_rate": 0.01}), (0.0, 1e-3, 1e-2, 1e-1)),
        (Recipe(**{**vars(few), "epochs": 8}), (0.01, 0.1, 1.0)),
        *(
            (
                Recipe(relu=relu, images=8000, pixels=True, batch=1, epochs=3, learning_rate=0.01),
                (0.1,),
            )
            for relu in (True, False)
        ),
    ]
    for recipe, rates in settings:
        unmasked = [accuracy(dense(recipe, seed), recipe.pixels) for seed in seeds]
        for rate in rates:
            found = [masked(recipe, {"permanence_rate": rate}, seed) for seed in seeds]
            hidden = "ReLU" if recipe.relu else "linear"
            yield [str(recipe.images), str(recipe.batch), hidden, f"{rate:g}", *cells(found, unmasked)]


def curve(seeds: Sequence[int]) -> Iterable[list[str]]:
    """All images, plain gradient descent: both forms over rate and threshold."""
    for relu, form in product((True, False), ("weighted", "agreement")):
        recipe = Recipe(relu)
        unmasked = [accuracy(dense(recipe, seed), recipe.pixels) for seed in seeds]
        for rate, threshold in product((0.01, 0.1, 1.0), (0.0, 0.5)):
            knobs = {"update_form": form, "permanence_rate": rate, "prune_threshold": threshold}
            found = [masked(recipe, knobs, seed) for seed in seeds]
            hidden = "ReLU" if relu else "linear"
            yield [hidden, form, f"{rate:g}", f"{threshold:g}", *cells(found, unmasked)]


LINEAR, RELU = Recipe(relu=False), Recipe(relu=True)
LONG = Recipe(relu=True, epochs=10, learning_rate=0.001, adam=True)
DECAYING = (  # form, rate, decay, threshold, settle
    (LINEAR, "weighted", 0.01, 0.01, 0.5, 0.0),
    (LINEAR, "agreement", 0.01, 0.01, 0.5, 0.0),
    (RELU, "weighted", 0.01, 0.01, 0.5, 0.0),
    (RELU, "weighted", 0.001, 0.001, 0.5, 0.0),
    (LONG, "weighted", 6.5e-6, 0.0005, 0.1, 0.0),
    (LONG, "weighted", 4e-6, 0.0005, 0.1, 0.0),
    (LONG, "weighted", 3.5e-6, 0.0005, 0.1, 0.0),
    (LONG, "weighted", 3.5e-6, 0.0005, 0.1, 0.3),
)


def decaying(seeds: Sequence[int]) -> Iterable[list[str]]:
    """All images, with decay, beside the controls."""
    for recipe, form, rate, decay, threshold, settle in DECAYING:
        knobs = {
            "update_form": form,
            "permanence_rate": rate,
            "permanence_decay": decay,
            "prune_threshold": threshold,
            "settle": settle,
        }
        unmasked = [accuracy(dense(recipe, seed), recipe.pixels) for seed in seeds]
        found = [masked(recipe, knobs, seed) for seed in seeds]
        controls = (
            [control(recipe, each.out, seed).accuracy for each, seed in zip(found, seeds, strict=True)]
            for control in (random_mask, smallest_cut)
        )
        yield [
            "ReLU" if recipe.relu else "linear",
            f"AdamW, {recipe.epochs}" if recipe.adam else f"SGD, {recipe.epochs}",
            form,
            *(f"{value:g}" for value in (rate, decay, threshold, settle)),
            spread(unmasked, 100, 2),
            *cells(found, unmasked),
            *(spread(control, 100, 2) for control in controls),
        ]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear 128 x 10": (lambda: nn.Linear(128, 10), (64, 128)),
    "Linear 784 x 128": (lambda: nn.Linear(784, 128), (64, 784)),
    "Conv2d 16 -> 32, 3 x 3, on 14 x 14": (lambda: nn.Conv2d(16, 32, 3, padding=1), (64, 16, 14, 14)),
}


def costs() -> Iterable[list[str]]:
    """Milliseconds of forward, backward and step, a batch of 64; half of the connections are out."""
    for name, (make, shape) in LAYERS.items():
        x = torch.randn(shape)
        halved = HebbMask(make(), ["weight"], permanence_rate=0.0)
        mask = torch.rand(halved.masks()["weight"].shape) < 0.5
        halved.masks()["weight"].copy_(mask)
        halved.permanences()["weight"].copy_(torch.where(mask, 1, -1))
        nets = (make(), halved)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(30):  # in turns, so that a slow second affects both
            for net, seconds in zip(nets, times, strict=True):
                seconds.append(step_seconds(net, x))
        plain, ours = (median(seconds) * 1000 for seconds in times)
        yield [name, f"{plain:.2f}", f"{ours:.2f}", f"{ours / plain:.1f}"]


def step_seconds(net: nn.Module, x: Tensor, steps: int = 20) -> float:
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    started = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    return (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(FIRST_SEED, FIRST_SEED + parser.parse_args().seeds)
    torch.set_num_threads(1)
    started = time.perf_counter()

    print(f"{processor()}, one thread of {os.cpu_count()} cores; PyTorch {torch.__version__}")
    print(f"validation rows of MNIST; mean ± standard deviation over {len(seeds)} seeds\n")
    print("The original's constants: weighted, threshold 0, no decay\n")
    show(("images", "batch", "hidden", "rate", *FOUND), published(seeds))
    print("The curve: all images, SGD of rate 0.1, 3 epochs of batch 64\n")
    show(("hidden", "form", "rate", "threshold", *FOUND), curve(seeds))
    print("With decay: all images, batch 64; controls of as many connections\n")
    show(
        (
            "hidden",
            "training",
            "form",
            "rate",
            "decay",
            "threshold",
            "settle",
            "unmasked %",
            *FOUND,
            *CONTROLS,
        ),
        decaying(seeds),
    )
    print("Milliseconds a training step of batch 64\n")
    show(("layer", "plain", "masked", "times"), costs())
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
