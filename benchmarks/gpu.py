"""One GPU: cohorts of hebbevo beside one ordinary PyTorch net at a time on the same card.

The plain net is that of `plain_net.py`, with its data and weights on the device. The work of a search is
the same on both sides and is not timed. hebbevo trains cohorts of several widths, with every step launched
operation by operation, and with every step recorded as a CUDA graph. After a warm-up cohort, the
contestants take turns.

Two bounds are shown. Arithmetic is counted from the shapes of whole nets, as in `throughput.py`. Memory
traffic is what weights cannot avoid: the passes read them twice and write their gradient, and AdamW reads
four arrays and writes three. That is 40 bytes a weight, step and net. The fractions are relative to large
float32 products and to copies on the same card in the same run.

    python benchmarks/gpu.py [--nets 50,256,1024] [--dataset digits] [--hidden 128 128] [--epochs 20]
        [--plain 4] [--repeats 5] [--device cuda]

Without a GPU the script says so and ends. With ``--device cpu`` it runs on a CPU, where no step is recorded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import numpy as np
import plain_net
import torch
from throughput import markdown, operations, processor, spec_of, spread

from hebbevo import data
from hebbevo.outer.training_inputs import recipe as recipe_for
from hebbevo.training import Candidate, cohort, train
from hebbevo.training.recipe import PYTORCH

SIZE, SECONDS = 4096, 0.5


class Launched(cohort.CudaGraphs):
    """In place of CUDA graphs: every operation is launched by itself."""

    def run(self, function, rows, event):
        return function(rows, event)


def rate(work: float, function: Callable[[], object], wait: Callable[[], None]) -> float:
    """How much ``work`` is done in a second, if each call of ``function`` does that much."""
    function()
    wait()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        function()
        wait()
        done += 1
    return work * done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default="50,256,1024")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plain", type=int, default=4, help="nets that the plain loop trains in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        return
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    device = torch.device(options.device)
    torch.set_default_device(device)

    square, other = (torch.randn(SIZE // (1 if on_gpu else 4), SIZE) for _ in range(2))
    products = rate(2 * SIZE * len(square) ** 2, lambda: square @ other.mT, wait)
    block, copied = (torch.empty(2**28 if on_gpu else 2**26) for _ in range(2))  # larger than any cache
    traffic = rate(8 * block.numel(), lambda: copied.copy_(block), wait)

    job = plain_net.Job(options.dataset, tuple(options.hidden), options.epochs)
    spec = spec_of(job)
    split = data.split(data.load(job.dataset), job.seed, job.batch)
    recipe = recipe_for(spec, split.x_train.shape[1:], len(split.classes), PYTORCH, alone="")
    widths = [int(width) for width in options.nets.split(",")]
    genomes = spec.space.sample(max(widths), np.random.default_rng(0))

    def plain() -> int:
        for genome in genomes[: options.plain]:
            plain_net.train(genome, job)
        return options.plain

    def ours(width: int, way: type[cohort.CudaGraphs]) -> int:
        with torch.device("cpu"), patch.object(cohort, "CudaGraphs", way):
            train(recipe, [Candidate(genome) for genome in genomes[:width]], split, device)
        return width

    ways: dict[str, Callable[[], int]] = {"one ordinary net at a time": plain}
    for width in widths:
        ways[f"hebbevo, {width} nets, launched"] = partial(ours, width, Launched)
        if on_gpu:
            ways[f"hebbevo, {width} nets, recorded"] = partial(ours, width, cohort.CudaGraphs)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(options.repeats + 1):
        for name, way in ways.items():
            wait()
            began = time.perf_counter()
            trained = way()
            wait()
            if repeat:
                seconds[name].append((time.perf_counter() - began) / trained)

    features, rows = split.x_train.shape[1], len(split.y_train)
    run = {
        "job": {"hidden": job.hidden, "epochs": job.epochs},
        "features": features,
        "rows": rows,
        "validation rows": len(split.y_val),
        "letter": "c",
        "trials": [{}],
    }
    weights = sum(
        wide * deep + deep for wide, deep in zip((features, *job.hidden), (*job.hidden, 10), strict=True)
    )
    moved = 40 * weights * job.epochs * -(-rows // job.batch)
    named = torch.cuda.get_device_name() if on_gpu else processor()
    print(f"{named}, PyTorch {torch.__version__}; {options.repeats} repeats: median (smallest to largest)")
    shape = "-".join(map(str, [features, *job.hidden, 10]))
    print(f"{job.dataset}, {shape}, {job.epochs} epochs of batch {job.batch}")
    print(f"{products / 1e12:.2f} TFLOP/s in float32 products, {traffic / 1e9:.0f} GB/s in copies\n")
    base = seconds["one ordinary net at a time"]
    lines = [
        [
            name,
            spread((1000 * each for each in own), ".2f"),
            spread((b / each for b, each in zip(base, own, strict=True)), ".1f"),
            spread((100 * operations(run) / products / each for each in own), ".1f"),
            spread((100 * moved / traffic / each for each in own), ".1f"),
        ]
        for name, own in seconds.items()
    ]
    print(markdown(["", "ms a trial", "times the plain net", "% of products", "% of bandwidth"], lines))


if __name__ == "__main__":
    main()
