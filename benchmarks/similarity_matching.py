"""Similarity matching on MNIST beside the figures of its authors and beside random weights.

One layer: a site every 2 pixels, discs of radius 4, inhibition within a site, tanh, 4 or 16 units a site
(Obeid, Ramambason & Pehlevan, 2019, arXiv:1910.04958). Pixels are divided by 255, and each image is less
its own mean. The layer sees 120,000 images drawn with replacement, in minibatches of 50. Then a linear SVM is
fitted to its outputs for 60,000 images, and scored once on the 10,000 test images. The control is the same
layer before the first minibatch, with the same readout.

The authors learn from one image at a time, with the rate 5e-3 / (1 + .5 per 1,000 images). Here the rate of a
minibatch is .2 / (1 + .025 per minibatch), which forgets as much per image. They draw their own 60,000 of all
70,000 images; here the split is MNIST's own. Their SVM has no limit of iterations.

    HEBBEVO_DATA=FOLDER python benchmarks/similarity_matching.py [--seeds 3] [--csv similarity_matching.csv]

The script appends a line for each readout to the file, so that it can be stopped and started again. Its table
is made of all lines.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.svm import LinearSVC
from throughput import machine
from torch import Tensor, nn

from hebbevo.data import load, split
from hebbevo.nn import SimilarityMatching2d

BATCH = 50
PUBLISHED = {4: 3.87, 8: 2.41, 16: 1.73, 32: 1.60, 64: 1.47, 100: 1.40}  # test errors in percent
RANDOM, LEARNT = "random weights", "similarity matching"
COLUMNS = (
    "units", "weights", "seed", "images", "rows", "error", "residual", "unconverged", "learning_seconds",
    "readout_seconds",
)  # fmt: skip


def images() -> tuple[Tensor, np.ndarray, Tensor, np.ndarray]:
    """Training rows and labels, then test rows and labels."""
    whole = split(load("mnist"), 0, BATCH, standardize=False)
    x = np.concatenate([whole.x_train, whole.x_val]).reshape(-1, 1, 28, 28)
    rows, test = (torch.as_tensor(each, dtype=torch.float32) / 255 for each in (x, whole.x_test))
    labels = np.concatenate([whole.y_train, whole.y_val])
    return centred(rows), labels, centred(test.reshape(-1, 1, 28, 28)), np.asarray(whole.y_test)


def centred(rows: Tensor) -> Tensor:
    """Each image less the mean of its own pixels."""
    return rows - rows.mean((1, 2, 3), keepdim=True)


def outputs(layer: nn.Module, x: Tensor) -> np.ndarray:
    """What the layer gives for all rows, in evaluation mode."""
    with torch.no_grad():
        return torch.cat([layer.eval()(rows).flatten(1) for rows in x.split(500)]).numpy()


def learn(layer: SimilarityMatching2d, x: Tensor, number: int, seed: int) -> None:
    """Let the layer see so many images, drawn with replacement."""
    layer.train()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(number // BATCH):
        layer(x[torch.randint(len(x), (BATCH,), generator=generator)])


def test_error(options: argparse.Namespace, layer: SimilarityMatching2d, data: tuple) -> float:
    """Percent of the test rows that a linear SVM on the outputs has wrong."""
    x, y, x_test, y_test = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the limit of iterations was reached
        machine = LinearSVC(
            C=1.0,
            class_weight="balanced",
            tol=1e-5,
            dual=True,
            max_iter=options.svm_iterations,
            random_state=0,
        ).fit(outputs(layer, x[: options.rows]), y[: options.rows])
    return 100 * (1 - float(machine.score(outputs(layer, x_test), y_test)))


def report(lines: pd.DataFrame) -> None:
    """Print the table of all lines."""
    print("| units a site | published | similarity matching | random weights | unconverged | CPU s | seeds |")
    print(f"|{' --- |' * 7}")
    for units, own in lines.groupby("units"):
        by = own.groupby("weights").error
        cells = [
            f"{by.get_group(name).mean():.2f}" if name in by.groups else "-" for name in (LEARNT, RANDOM)
        ]
        learnt = own[own.weights == LEARNT]
        seconds = learnt.learning_seconds.mean() + learnt.readout_seconds.mean()
        share = f"{learnt.unconverged.mean():.1%}"
        print(
            f"| {units} | {PUBLISHED.get(units, '-')} | {cells[0]} | {cells[1]} | {share} | {seconds:.0f} "
            f"| {own.seed.nunique()} |"
        )


def main() -> None:
    """Measure what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[4, 16], help="units a site")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=120_000, help="images that a layer learns from")
    parser.add_argument("--rows", type=int, default=60_000, help="images that the readout is fitted to")
    parser.add_argument("--svm-iterations", type=int, default=200)
    parser.add_argument("--csv", type=Path, default=Path("similarity_matching.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.csv) if options.csv.exists() else pd.DataFrame(columns=COLUMNS)
    known = {*zip(done.units, done.weights, done.seed, strict=True)}
    data = images()
    for units in options.units:
        for seed in range(options.seeds):
            for weights in (RANDOM, LEARNT):
                if (units, weights, seed) in known:
                    continue
                torch.manual_seed(seed)
                layer = SimilarityMatching2d(1, 28, units, radius=4, stride=2, rate=0.2, rate_decay=0.025)
                started = time.process_time()
                if weights == LEARNT:
                    learn(layer, data[0], options.images, seed)
                learning = time.process_time() - started
                residual, unconverged = float(layer.residual), float(layer.unconverged)
                error = test_error(options, layer, data)
                readout = time.process_time() - started - learning
                is_new = not options.csv.exists()
                with options.csv.open("a", newline="") as file:
                    writer = csv.writer(file)
                    if is_new:
                        writer.writerow(COLUMNS)
                    size = options.images if weights == LEARNT else 0, options.rows
                    numbers = f"{error:.2f}", f"{residual:.2g}", f"{unconverged:.3f}"
                    writer.writerow(
                        (units, weights, seed, *size, *numbers, f"{learning:.1f}", f"{readout:.1f}")
                    )
                print(units, weights, seed, f"{error:.2f} %", flush=True)
    print(f"\n{machine()}\n")
    report(pd.read_csv(options.csv))


if __name__ == "__main__":
    main()
