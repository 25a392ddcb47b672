"""What Hebbian layers learn on CIFAR-10 without a gradient, beside the same networks with random filters.

Two networks, whose layers all learn at once. A linear readout of every layer is fitted by ridge regression on
the training images, and scored on the test images, which nothing else sees:

- SoftHebb (Journé et al., 2023, arXiv:2209.11883): batch norm, convolutions of 5 x 5, 3 x 3 and 3 x 3 with
  mirrored borders, `Triangle` with powers 0.7, 1.4 and 1, two max pools and an average pool. One pass in
  minibatches of 10. Its control keeps the filters with which it begins.
- Miconi's network (2021, arXiv:2107.01729): images normalised one by one and whitened, convolutions of the
  same sizes without a border, average pools, minibatches of 100 with random flips. With his interventions
  (`Triangle` outputs, 1 % of the connections in layers 2 and 3) and without (winners hand on 1). The control
  has random filters with the same connections; its thresholds adapt as they do in the others.

Features are the means over a grid of places, 4 x 4 for SoftHebb and 2 x 2 for Miconi. The penalty of the
readout is chosen on a tenth of the training images. Rates of Miconi's are those of sums over a minibatch and
its places; here they are multiplied by the numbers of both.

    HEBBEVO_DATA=FOLDER python benchmarks/hebbian_layers.py [--seeds 1] [--csv hebbian_layers.csv]

The full size of SoftHebb is an hour on two idle cores:

    ... --rows softhebb softhebb_random --channels 96 384 1536 --side 2

The script appends a line for each network to the file, so that it can be stopped and started again. Its table
is made of all lines. By prototypes, SoftHebb and its control take about 6 CPU minutes a seed, and each of
Miconi's three networks up to 20.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from throughput import processor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load
from hebbevo.nn import HebbianConv2d, KWinners, Triangle, Whitening
from hebbevo.training.ridge import Moments, ridge

COLUMNS = ("network", "channels", "seed", "layer_1", "layer_2", "layer_3", "images", "epochs", "seconds")
CLASSES, KERNELS, CHUNK = 10, (5, 3, 3), 500
HELD_OUT = 10  # every tenth training image chooses the penalty of the readout
SOFTHEBB_RATES, SOFTHEBB_TEMPERATURES = (0.08, 0.005, 0.01), (1.0, 1 / 0.65, 1 / 0.25)
SOFTHEBB_POWERS = (0.7, 1.4, 1.0)
MICONI_RATES, MICONI_SIDES = (1e-4, 1e-4, 1e-3), (28, 12, 4)
MICONI_RIDGE = 1e-3 * 3072 / 9000  # his covariance is divided by features, not by his 9,000 images
RANDOM_PASSES = 3000  # images from which controls take batch norms and thresholds


@dataclass(frozen=True)
class Row:
    """One kind of network.

    Attributes:
        blocks: its layers; each gives features.
        batch: size of a minibatch.
        epochs: passes over the training images.
        side: features are means over a grid of so many places on each side.
        flips: whether images are flipped at random.
        is_control: whether filters stay as they are.
    """

    blocks: nn.ModuleList
    batch: int
    epochs: int
    side: int
    flips: bool = False
    is_control: bool = False


def softhebb(channels: Sequence[int], seed: int, control: bool) -> Row:
    """SoftHebb's network, or its control."""
    pools = (nn.MaxPool2d(4, 2, 1), nn.MaxPool2d(4, 2, 1), nn.AvgPool2d(2))
    blocks = nn.ModuleList()
    for number, (before, width) in enumerate(zip((3, *channels), channels, strict=False)):
        conv = HebbianConv2d(
            before, width, KERNELS[number], padding=KERNELS[number] // 2, padding_mode="reflect",
            rule="softhebb", seed=10 * seed + number, temperature=SOFTHEBB_TEMPERATURES[number],
            hebbian_rate=0.0 if control else SOFTHEBB_RATES[number],
        )  # fmt: skip
        norm = nn.BatchNorm2d(before, affine=False)
        blocks.append(nn.Sequential(norm, conv, Triangle(SOFTHEBB_POWERS[number]), pools[number]))
    return Row(blocks, 10, 1, 4, is_control=control)


def miconi(channels: Sequence[int], seed: int, control: bool, interventions: bool) -> Row:
    """Miconi's network with his interventions or without, or its control."""
    batch, blocks = 100, nn.ModuleList()
    for number, (before, width) in enumerate(zip((3, *channels), channels, strict=False)):
        rate = MICONI_RATES[number] * batch * MICONI_SIDES[number] ** 2
        conv = HebbianConv2d(
            before, width, KERNELS[number], bias=True, seed=10 * seed + number, threshold_rate=3.0,
            threshold_warmup=0 if control else 200, hebbian_rate=0.0 if control else rate,
            connectivity=0.01 if interventions and number else 1.0,
        )  # fmt: skip
        output = Triangle() if interventions else KWinners(1, power=0.0)
        # his normalisation of a sample over all of its channels and places
        norm = nn.GroupNorm(1, before, affine=False)
        blocks.append(nn.Sequential(norm, conv, output, nn.AvgPool2d(2)))
    return Row(blocks, batch, 5, 2, flips=not control, is_control=control)


ROWS = {
    "softhebb": lambda channels, seed: softhebb(channels or (24, 96, 384), seed, False),
    "softhebb_random": lambda channels, seed: softhebb(channels or (24, 96, 384), seed, True),
    "miconi": lambda channels, seed: miconi(channels or (100, 196, 400), seed, False, True),
    "miconi_plain": lambda channels, seed: miconi(channels or (100, 196, 400), seed, False, False),
    "miconi_random": lambda channels, seed: miconi(channels or (100, 196, 400), seed, True, True),
}


@torch.no_grad()
def learn(row: Row, x: Tensor, epochs: int, seed: int) -> None:
    """Train all layers of a network at once on images; afterwards they are in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    row.blocks.train()
    for _ in range(1 if row.is_control else epochs):
        order = torch.randperm(len(x), generator=generator)
        for chosen in torch.split(order[:RANDOM_PASSES] if row.is_control else order, row.batch):
            out = x[chosen]
            if row.flips:
                flipped = torch.rand(len(out), generator=generator) < 0.5
                out = torch.where(flipped[:, None, None, None], out.flip(-1), out)
            for block in row.blocks:
                out = block(out)
    row.blocks.eval()


@torch.no_grad()
def features(row: Row, x: Tensor, side: int) -> Iterator[list[Tensor]]:
    """The features of every layer, of some images at a time."""
    for out in torch.split(x, CHUNK):
        found = []
        for block in row.blocks:
            out = block(out)
            found.append(F.adaptive_avg_pool2d(out, min(side, out.shape[-1])).flatten(1))
        yield found


def accuracies(row: Row, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], side: int) -> list[float]:
    """The test accuracy of a linear readout of every layer."""
    sums: list[list[Moments]] = []
    targets = torch.split(F.one_hot(train[1], CLASSES).float(), CHUNK)
    for found, y in zip(features(row, train[0], side), targets, strict=True):
        held_out = (torch.arange(len(y)) % HELD_OUT == 0).float()
        own = [[Moments.of(each, y, weights) for weights in (1 - held_out, held_out)] for each in found]
        sums = [
            [before + now for before, now in zip(*both, strict=True)] for both in zip(sums, own, strict=True)
        ] if sums else own  # fmt: skip
    readouts = [ridge(fitted, held_out) for fitted, held_out in sums]
    right = [0] * len(readouts)
    for found, y in zip(features(row, test[0], side), torch.split(test[1], CHUNK), strict=True):
        for layer, (each, (weight, bias)) in enumerate(zip(found, readouts, strict=True)):
            right[layer] += int(((each.double() @ weight.mT + bias).argmax(-1) == y).sum())
    return [each / len(test[1]) for each in right]


def images(count: int, whitened: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test images with their labels; for Miconi's network normalised and whitened."""
    data = load("cifar10")
    parts = [
        (torch.as_tensor(x).float().reshape(-1, 3, 32, 32), torch.as_tensor(y).long())
        for x, y in ((data.x, data.y), (data.x_test, data.y_test))
    ]
    (x, y), (x_test, y_test) = parts
    x, y = x[:count], y[:count]
    x_test, y_test = x_test[:count], y_test[:count]
    if whitened:
        x, x_test = (F.layer_norm(each, each.shape[1:]) for each in (x, x_test))
        whitening = Whitening((3, 32, 32), ridge=MICONI_RIDGE).fit(x[:10_000])
        x, x_test = (
            torch.cat([whitening(some) for some in torch.split(each, CHUNK)]) for each in (x, x_test)
        )
    return (x, y), (x_test, y_test)


def report(lines: pd.DataFrame) -> None:
    """Print the table of all lines: means over seeds, with deviations where there are several."""
    layers = ["layer_1", "layer_2", "layer_3"]
    print("| network | channels | images | passes | seeds | layer 1 | layer 2 | layer 3 | CPU s |")
    print(f"|{' --- |' * 9}")
    for keys, own in lines.groupby(["network", "channels", "images", "epochs"], sort=False):
        cells = [
            f"{100 * own[layer].mean():.2f}" + (f" ± {100 * own[layer].std():.2f}" if len(own) > 1 else "")
            for layer in layers
        ]
        print(f"| {' | '.join(map(str, (*keys, len(own), *cells)))} | {own.seconds.mean():.0f} |")


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[*ROWS])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=50_000, help="training images, and most test images")
    parser.add_argument("--epochs", type=int, default=None, help="passes; by default 1 and 5")
    parser.add_argument("--channels", type=int, nargs=3, default=None)
    parser.add_argument("--side", type=int, default=None, help="places of the features on each side")
    parser.add_argument("--csv", type=Path, default=Path("hebbian_layers.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    loaded: dict[bool, tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]] = {}
    for seed in range(options.seeds):
        for name in options.rows:
            row = ROWS[name](options.channels, seed)
            channels = "-".join(str(block[1].out_channels) for block in row.blocks)
            epochs = options.epochs or row.epochs
            keys = {"network": name, "channels": channels, "seed": seed}
            keys |= {"images": options.images, "epochs": epochs}
            if (done[[*keys]] == pd.Series(keys)).all(axis=1).any():
                continue
            whitened = name.startswith("miconi")
            if whitened not in loaded:
                loaded = {whitened: images(options.images, whitened)}
            train, test = loaded[whitened]
            started = time.process_time()
            learn(row, train[0], epochs, seed)
            found = accuracies(row, train, test, options.side or row.side)
            seconds = time.process_time() - started
            is_new = not options.csv.exists()
            with options.csv.open("a", newline="") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(COLUMNS)
                numbers = [f"{each:.4f}" for each in found]
                writer.writerow((name, channels, seed, *numbers, options.images, epochs, f"{seconds:.1f}"))
            print(name, channels, seed, numbers, f"{seconds:.0f} s", flush=True)
    print(f"{processor()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    report(pd.read_csv(options.csv))


if __name__ == "__main__":
    main()
