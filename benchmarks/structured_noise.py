"""Structured noise on MNIST beside independent noise and none, on the network of its authors.

784-512-10-10-10 with rectifiers, weights drawn from U(-0.01, 0.01), Adam at 1e-3, minibatches of 64, 10,000
steps. Noise acts on the inputs and on all hidden activations: none, independent Gaussian factors, dropout, or
adaptive structured noise (Khalfaoui, Boyd and Vert, 2019, arXiv:1909.09819). The strength is chosen on 5,000
training rows, then trained anew from other seeds. The score is test accuracy after the last step. The
authors show the best test value over time.

    HEBBEVO_DATA=FOLDER python benchmarks/structured_noise.py [--seeds 5] [--csv structured_noise.csv]

The script appends a line for each network to the file, so that it can be stopped and started again. A network
takes one to two CPU minutes, and the whole about an hour.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from throughput import processor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load, split
from hebbevo.nn import ActivationNoise, StructuredNoise

WIDTHS = (784, 512, 10, 10, 10)
BATCH = 64
FIRST_SEED = 100  # of the networks that are compared; those below choose the strength
KINDS: dict[str, tuple[Callable[[float], nn.Module], tuple[float, ...]]] = {
    "none": (lambda strength: nn.Identity(), (0.0,)),
    "gauss": (lambda strength: ActivationNoise(multiplicative_noise=strength), (0.1, 0.3, 0.5)),
    "dropout": (lambda strength: nn.Dropout(strength), (0.05, 0.1, 0.2)),
    "structured": (lambda strength: StructuredNoise(strength), (1e-3, 1e-2, 1e-1)),
}
COLUMNS = ("noise", "strength", "seed", "steps", "validation", "test", "seconds")


def network(kind: str, strength: float, seed: int) -> nn.Sequential:
    """The network of the authors; noise in front of every layer."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for place, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        layer = nn.Linear(inputs, outputs)
        nn.init.uniform_(layer.weight, -0.01, 0.01)
        nn.init.zeros_(layer.bias)
        parts += [*([nn.ReLU()] if place else []), KINDS[kind][0](strength), layer]
    return nn.Sequential(*parts)


def rows(fraction: float) -> tuple[tuple[Tensor, Tensor], ...]:
    """Training, validation and test rows of MNIST, pixels from 0 to 1."""
    data = split(load("mnist"), 0, BATCH, standardize=False)
    x, y = np.concatenate([data.x_train, data.x_val]), np.concatenate([data.y_train, data.y_val])
    order = np.random.default_rng(0).permutation(len(x))
    scale = float(x.max())
    held, used = order[:5000], order[5000 : 5000 + round(fraction * (len(x) - 5000))]
    parts = ((x[used], y[used]), (x[held], y[held]), (data.x_test, data.y_test))
    return tuple(
        (torch.as_tensor(each / scale).float().flatten(1), torch.as_tensor(labels).long())
        for each, labels in parts
    )


def trained(
    kind: str, strength: float, seed: int, steps: int, data: Sequence[tuple[Tensor, Tensor]]
) -> list[float]:
    """Validation accuracy, test accuracy and CPU seconds after the last step."""
    started = time.process_time()
    net = network(kind, strength, seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    (x, y), *others = data
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x[chosen]), y[chosen]).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        scores = [float((net(inputs).argmax(1) == labels).float().mean()) for inputs, labels in others]
    return [*scores, time.process_time() - started]


def report(lines: pd.DataFrame) -> None:
    """Print the table of the networks that are compared."""
    final = lines[lines.seed >= FIRST_SEED]
    print("| noise | strength | test accuracy | CPU s a network |\n| --- | --- | --- | --- |")
    for kind in KINDS:
        own = final[final.noise == kind]
        if len(own):
            mean, sd = own.test.mean() * 100, own.test.std() * 100
            print(f"| {kind} | {own.strength.iloc[0]:g} | {mean:.2f} ± {sd:.2f} | {own.seconds.mean():.0f} |")
    means = final.groupby("noise").test.mean() * 100
    if {"structured", "gauss", "dropout"} <= {*means.index}:
        gain = means["structured"] - max(means["gauss"], means["dropout"])
        verdict = "met" if gain >= 0.3 else "no effect"
        print(
            f"\nStructured noise less the better independent noise: {gain:+.2f} points (bar 0.3: {verdict})"
        )


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--tuning-seeds", type=int, default=2)
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the training rows")
    parser.add_argument("--csv", type=Path, default=Path("structured_noise.csv"))
    options = parser.parse_args()
    data = rows(options.fraction)

    def known() -> pd.DataFrame:
        return pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)

    def ensure(kind: str, strength: float, seed: int) -> None:
        done = known()
        if ((done.noise == kind) & (done.strength == strength) & (done.seed == seed)).any():
            return
        validation, test, seconds = trained(kind, strength, seed, options.steps, data)
        is_new = not options.csv.exists()
        with options.csv.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(COLUMNS)
            scores = f"{validation:.4f}", f"{test:.4f}", f"{seconds:.1f}"
            writer.writerow((kind, strength, seed, options.steps, *scores))
        print(kind, strength, seed, f"{validation:.4f}", flush=True)

    for kind, (_, strengths) in KINDS.items():
        tuning = range(options.tuning_seeds if len(strengths) > 1 else 0)
        for strength in strengths:
            for seed in tuning:
                ensure(kind, strength, seed)
        lines = known()
        own = lines[(lines.noise == kind) & (lines.seed < FIRST_SEED)]
        best = float(own.groupby("strength").validation.mean().idxmax()) if len(own) else strengths[0]
        for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
            ensure(kind, best, seed)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(known())


if __name__ == "__main__":
    main()
