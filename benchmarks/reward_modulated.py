"""Reward-modulated learning on digits, beside backpropagation and a frozen random hidden layer.

64-64-10 with a rectifier, Adam at 3e-3, minibatches of 64, 40 epochs, test accuracy after the last. The
hidden layer learns by backpropagation, by reward, or not at all; the last by its gradient, or by reward too.

    python benchmarks/reward_modulated.py [--seeds 5] [--epochs 40] [--csv reward_modulated.csv]

The script appends a line for each network to the file, so that it can be stopped and started again.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from pathlib import Path

import pandas as pd
import torch
from throughput import processor
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load, split
from hebbevo.nn import attach, credited

BATCH, WIDTH, NOISE = 64, 64, 0.1
LEARNING = ("backprop", "hidden layer by reward", "both layers by reward", "frozen hidden layer")
RATE = 3e-3
COLUMNS = ("learning", "seed", "epochs", "test", "seconds")


def network(learning: str, seed: int) -> nn.Sequential:
    """A network, of which what is frozen has no gradient."""
    torch.manual_seed(seed)
    hidden, last = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10)
    if learning == "frozen hidden layer":
        hidden.requires_grad_(False)
    by_reward = {"hidden layer by reward": 1, "both layers by reward": 2}.get(learning, 0)
    parts = [
        credited("reward_modulated", layer, seed=seed + place, output_noise=NOISE)
        if place < by_reward
        else layer
        for place, layer in enumerate((hidden, last))
    ]
    return nn.Sequential(parts[0], nn.ReLU(), parts[1])


def trained(learning: str, seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy and CPU seconds."""
    started = time.process_time()
    data = split(load("digits"), 0, BATCH)
    x, y = (torch.as_tensor(each).flatten(1) for each in (data.x_train, data.y_train[:, None]))
    y = y.flatten().long()
    net = network(learning, seed)
    optimizer = torch.optim.Adam([each for each in net.parameters() if each.requires_grad], lr=RATE)
    if learning.endswith("by reward"):
        attach(net, optimizer)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        right = net(torch.as_tensor(data.x_test).flatten(1)).argmax(1) == torch.as_tensor(data.y_test)
    return float(right.float().mean()), time.process_time() - started


def report(lines: pd.DataFrame) -> None:
    """Print the table."""
    print("| learning | test accuracy | CPU s a network |\n| --- | --- | --- |")
    for learning in LEARNING:
        own = lines[lines.learning == learning]
        mean, sd = own.test.mean() * 100, own.test.std() * 100
        print(f"| {learning} | {mean:.2f} ± {sd:.2f} | {own.seconds.mean():.1f} |")


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--csv", type=Path, default=Path("reward_modulated.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in range(options.seeds):
        for learning in LEARNING:
            if ((done.learning == learning) & (done.seed == seed)).any():
                continue
            test, seconds = trained(learning, seed, options.epochs)
            is_new = not options.csv.exists()
            with options.csv.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                writer.writerow((learning, seed, options.epochs, f"{test:.4f}", f"{seconds:.1f}"))
            print(learning, seed, f"{test:.4f}", flush=True)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(pd.read_csv(options.csv))


if __name__ == "__main__":
    main()
