"""Differentiable plasticity: a recurrent network stores patterns in its connections and completes them.

In an episode the network sees two random patterns of 50 bits, then one of them with half of its bits missing.
It has to fill in the others. Plastic connections (Hebb's and Oja's rule) are compared with fixed ones, which
cannot store anything. All three take the same steps. It takes some seconds; the task is from Miconi, Stanley
and Clune (2018), with episodes in batches.

    python examples/pattern_completion.py [--steps 300]
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from hebbevo.nn.plastic_rnn import PlasticRNNCell, hebb, oja

BITS, PATTERNS, SHOWN, PAUSE = 50, 2, 3, 1  # each pattern is shown for some steps, with a pause behind it
EPISODES = 8  # in a batch


def episodes(generator: torch.Generator, rows: int = EPISODES, bits: int = BITS) -> tuple[Tensor, Tensor]:
    """Inputs (steps, rows, bits) and the patterns that are to be completed, (rows, bits)."""
    order = torch.rand(rows, PATTERNS, bits, generator=generator).argsort(-1)
    patterns = torch.where(order < bits // 2, 1.0, -1.0)  # as many ones as minus ones
    chosen = torch.randint(PATTERNS, (rows,), generator=generator)
    target = patterns[torch.arange(rows), chosen]
    missing = torch.rand(rows, bits, generator=generator).argsort(-1) < bits // 2
    steps = []
    for number in range(PATTERNS):
        steps += [patterns[:, number]] * SHOWN + [torch.zeros(rows, bits)] * PAUSE
    steps += [target.masked_fill(missing, 0.0)] * SHOWN
    return torch.stack(steps), target


def completed(cell: PlasticRNNCell, inputs: Tensor) -> Tensor:
    """What the network shows after the last step, (rows, bits)."""
    state = cell.start(inputs.shape[1])
    for x in inputs:
        state = cell(x, state)
    return state[0]


def trained(cell: PlasticRNNCell, steps: int, seed: int = 0) -> PlasticRNNCell:
    """Train the cell on batches of new episodes."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([each for each in cell.parameters() if each.requires_grad], lr=3e-3)
    for _ in range(steps):
        inputs, target = episodes(generator, bits=cell.size)
        optimizer.zero_grad()
        (completed(cell, inputs) - target).square().sum(1).mean().backward()
        optimizer.step()
    return cell


@torch.no_grad()
def wrong_bits(cell: PlasticRNNCell, rows: int = 200) -> float:
    """The share of wrong bits in new episodes; 0.25 where only the bits that are shown are right."""
    inputs, target = episodes(torch.Generator().manual_seed(1), rows, cell.size)
    return float((completed(cell, inputs) * target <= 0).float().mean())


def fixed(cell: PlasticRNNCell) -> PlasticRNNCell:
    """The same cell without plasticity."""
    cell.alpha.requires_grad_(False).zero_()
    return cell


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    for name, make in (
        ("plastic, Hebb", lambda: PlasticRNNCell(BITS, rule=hebb)),
        ("plastic, Oja", lambda: PlasticRNNCell(BITS, rule=oja)),
        ("not plastic", lambda: fixed(PlasticRNNCell(BITS))),
    ):
        torch.manual_seed(0)
        print(f"{name:15} {wrong_bits(trained(make(), steps)):6.1%} wrong bits", flush=True)


if __name__ == "__main__":
    main()
