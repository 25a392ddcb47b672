"""Size and latency of networks before and after their export, beside the same network cut by Torch-Pruning.

Short searches of one trial give the networks: digits 64-128-128-10, MNIST 784-300-100-10, and convolutions on
rows of CIFAR-10. Their rule for units prunes down to a tenth. Latency is the least mean over blocks of
calls on one thread, for all columns in turn.

    python benchmarks/export.py FILE.csv [--only digits,mnist,cifar10]

MNIST and CIFAR-10 are read from $HEBBEVO_DATA. Torch-Pruning is no dependency; without it
(``pip install torch-pruning``) its rows are missing.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import hebbevo
from hebbevo import data
from hebbevo.deploy.export.measurement import latencies
from hebbevo.deploy.trained_network import TrainedNetwork

sys.path.insert(0, str(Path(__file__).parent))
from compact import pruned_by_peer

FORMATS = (".onnx", ".pt2", ".safetensors")
ROWS_OF_IMAGES = {"mnist": 12_000, "cifar10": 6_000}
Row = dict[str, object]

NETWORKS = {
    "digits": ("64-128-128-10", "hidden: [128, 128]", 13, 20),
    "mnist": ("784-300-100-10", "hidden: [300, 100]", 30, 3),
    "cifar10": ("conv 32-64-64, 128-10", "family: conv, channels: [32, 64, 64], hidden: [128]", 13, 2),
}
"""The data; the network, what the space file has, how many units stay in a layer, and epochs."""


def trained(name: str, folder: Path) -> TrainedNetwork:
    """The network of a search of one trial."""
    _, network, target, epochs = NETWORKS[name]
    dataset = name
    if name in ROWS_OF_IMAGES:
        whole, rows = data.load(name), ROWS_OF_IMAGES[name]
        dataset = str(folder / f"{name}.npz")
        np.savez(dataset, x=whole.x[:rows].reshape(-1, *whole.shape), y=whole.y[:rows])
    space = folder / f"{name}.yaml"
    space.write_text(
        f"version: 1\nname: {name}\ntask: {{dataset: '{dataset}', epochs: {epochs}, batch_size: 64}}\n"
        f"network: {{{network}, units: magnitude, settings: {{target: {target}, warmup: 20}}}}\n"
        "search: {sampler: random, population: 4, trials: 1, seed: 1}\n"
        "genome:\n  learning_rate: {low: 1e-3, high: 3e-3, log: true}\n"
    )
    return hebbevo.network(hebbevo.search(space, study=folder / f"{name}.db", workers=1, watch=None), trial=0)


def saved_bytes(net: nn.Module) -> int:
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.tell()


def measured(name: str, folder: Path) -> Iterator[Row]:
    net = trained(name, folder).eval()
    raw = torch.from_numpy(net.validation_rows()[:64])
    given = raw.reshape(-1, *net.shape).float()
    inputs = ((raw - net.mean) / net.scale).float().reshape(-1, *net.input_shape)
    small = net.compact(raw.reshape(-1, *net.shape).numpy())
    modules: dict[str, tuple[nn.Module, Tensor]] = {"masked": (net, raw), "compact": (small, raw)}
    peer = pruned_by_peer(net.network, inputs)
    if peer is not None:
        modules["Torch-Pruning"] = (peer, inputs)  # without preprocessing
    calls: dict[str, Callable[[int], Callable[[], object]]] = {
        kind: lambda rows, each=each, x=x: partial(each, x[:rows]) for kind, (each, x) in modules.items()
    }
    sizes: dict[str, tuple[int, int, int]] = {}
    for kind, (each, x) in modules.items():
        adds = int(hebbevo.count(each, x[:1])["multiply_adds"]["total"])
        sizes[kind] = sum(part.numel() for part in each.parameters()), adds, saved_bytes(each)
    for suffix in FORMATS:
        exported = hebbevo.export(net, folder / f"{name}{suffix}")
        loaded = hebbevo.load_exported(exported.files[0])
        sizes[suffix] = (*sizes["compact"][:2], exported.files[0].stat().st_size)
        calls[suffix] = lambda rows, loaded=loaded: partial(loaded.outputs, given[:rows].numpy())
    with torch.inference_mode():
        times = [latencies({kind: make(rows) for kind, make in calls.items()}) for rows in (1, 64)]
    for kind, (parameters, adds, size) in sizes.items():
        yield {
            "network": f"{name} {NETWORKS[name][0]}",
            "as": kind,
            "parameters": parameters,
            "multiply-adds": adds,
            "bytes": size,
            "us, 1 row": round(times[0][kind], 1),
            "us, 64 rows": round(times[1][kind], 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default=",".join(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(","):
            tables.append(pd.DataFrame(list(measured(name, Path(folder)))))
            print(tables[-1].to_string(index=False), end="\n\n", flush=True)
    pd.concat(tables).to_csv(options.file, index=False)


if __name__ == "__main__":
    main()
