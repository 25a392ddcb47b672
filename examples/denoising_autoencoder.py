"""A denoising autoencoder: a network with a loss of its own, and noise in three places.

The network gets digits with noise and has to return them without. Noise may be on the inputs, before the
transfer function of the hidden layer, and behind it (Poole, Sohl-Dickstein and Ganguli, 2014). The table has
the error on other digits with noise, and without.

    python examples/denoising_autoencoder.py [--epochs 30]
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.data import load, split
from hebbevo.nn import ActivationNoise

PIXELS, HIDDEN, BATCH, CORRUPTION = 64, 32, 64, 0.5

PLACES: dict[str, tuple[float, float, float]] = {  # on the inputs, before and behind the transfer function
    "none": (0.0, 0.0, 0.0),
    "inputs": (0.5, 0.0, 0.0),
    "before": (0.0, 0.5, 0.0),
    "behind": (0.0, 0.0, 0.5),
    "all": (0.5, 0.2, 0.2),
}


def autoencoder(inputs: float, before: float, behind: float, seed: int = 0) -> nn.Sequential:
    """Encoder and decoder; noise is added in the first two places, and multiplied in the third."""
    torch.manual_seed(seed)
    return nn.Sequential(
        ActivationNoise(additive_noise=inputs),
        nn.Linear(PIXELS, HIDDEN),
        ActivationNoise(additive_noise=before),
        nn.ReLU(),
        ActivationNoise(multiplicative_noise=behind),
        nn.Linear(HIDDEN, PIXELS),
    )


def rows() -> tuple[Tensor, Tensor]:
    """Training and validation rows of digits, standardised."""
    data = split(load("digits"), 0, BATCH)
    return torch.as_tensor(data.x_train).flatten(1), torch.as_tensor(data.x_val).flatten(1)


def trained(net: nn.Sequential, x: Tensor, epochs: int) -> nn.Sequential:
    """Train on the loss of an autoencoder: the distance of the outputs from the inputs without noise."""
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            F.mse_loss(net(x[chosen]), x[chosen]).backward()
            optimizer.step()
    return net.eval()


@torch.no_grad()
def error(net: nn.Sequential, x: Tensor, corruption: float) -> float:
    """The mean squared error on rows with noise."""
    noisy = x + corruption * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return float(F.mse_loss(net(noisy), x))


def main() -> None:
    """Train one network for each place."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args().epochs
    x_train, x_val = rows()
    print("noise   error, noisy rows  error, clean rows")
    for name, places in PLACES.items():
        net = trained(autoencoder(*places), x_train, epochs)
        print(f"{name:8}{error(net, x_val, CORRUPTION):17.3f}{error(net, x_val, 0.0):19.3f}", flush=True)


if __name__ == "__main__":
    main()
