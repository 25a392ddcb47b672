"""What `hebbevo.compact` brings: parameters, multiply-adds, bytes and latency, beside Torch-Pruning.

- networks: digits 64-128-128-10, MNIST 784-300-100-10, and convolutions on images of CIFAR-10's shape, each
  with a random tenth of its units alive. They are not trained: latency and size do not depend on values.
  Latency is the least mean over blocks of calls, on one thread, in turn for all columns.
- cases: the networks of `tests/deploy/conftest.py`. Torch-Pruning is given the units that `compact` cuts,
  layer by layer. What it makes of them is compared: parameters, and outputs on random rows.
- sparse: a linear layer of which some connections are left, dense and with weights in rows (CSR).

    python benchmarks/compact.py FILE.csv [--only networks,cases,sparse]

Torch-Pruning is no dependency; without it (``pip install torch-pruning``) its columns are empty.
"""

from __future__ import annotations

import argparse
import copy
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import hebbevo
from hebbevo.deploy.compaction import Compaction
from hebbevo.networks.chain import Chain
from hebbevo.networks.conv import Conv
from hebbevo.networks.layers import LayerFactory
from hebbevo.networks.mlp import MLP
from hebbevo.nn.cutting.cut import Cut, Findings
from hebbevo.nn.cutting.plain_modules import without_masks, without_plastic_units

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.deploy.conftest import NETWORKS, keep_alive, network

ALIVE = 0.1
BLOCKS, SECONDS = 150, 0.003  # of each timing
Row = dict[str, object]


def factory(hidden: int) -> LayerFactory:
    return LayerFactory("stamina", "full", "backprop", hidden, {}, seed=0)


MEASURED: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "digits 64-128-128-10": lambda: (MLP(factory(2), (1, 8, 8), [128, 128], 10, False), (1, 8, 8)),
    "MNIST 784-300-100-10": lambda: (MLP(factory(2), (1, 28, 28), [300, 100], 10, False), (1, 28, 28)),
    "CIFAR-10 conv 32-64-64, 128-10": lambda: (
        Conv(factory(4), (3, 32, 32), [32, 64, 64], [128], 10),
        (3, 32, 32),
    ),
}


def parameters(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


def saved_bytes(net: nn.Module) -> int:
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.tell()


def latencies(nets: dict[str, Callable[[Tensor], object]], x: Tensor) -> dict[str, float]:
    """Microseconds a call, of each, in turn."""
    best = dict.fromkeys(nets, float("inf"))
    with torch.inference_mode():
        calls = {}
        for name, net in nets.items():
            net(x)
            begun = time.perf_counter()
            net(x)
            calls[name] = max(1, int(SECONDS / max(time.perf_counter() - begun, 1e-7)))
        for _ in range(BLOCKS):
            for name, net in nets.items():
                begun = time.perf_counter()
                for _ in range(calls[name]):
                    net(x)
                best[name] = min(best[name], (time.perf_counter() - begun) / calls[name])
    return {name: seconds * 1e6 for name, seconds in best.items()}


@torch.enable_grad()  # by which it finds what hangs together
def pruned_by_peer(net: nn.Module, x: Tensor) -> nn.Module | None:
    """The same network cut by Torch-Pruning, given the units that `compact` cuts."""
    if torch_pruning is None:
        return None
    masked = copy.deepcopy(net)
    masked = without_masks(nn.Sequential(*masked.in_order()) if isinstance(masked, Chain) else masked).eval()
    cut = Cut(masked, Findings.of(masked, x))
    # where a unit stays although its mask says that it is dead, this net is another one: that is said below
    plain = without_plastic_units(
        copy.deepcopy(masked), lambda name, units: nn.Identity() if units.inputs else nn.ReLU()
    )
    modules = dict(plain.named_modules())
    graph = torch_pruning.DependencyGraph().build_dependency(plain, example_inputs=x[:2])
    for name in cut.bundles.columns:
        layer, stays = modules[name], cut.stays(name)
        leaving = [number for number, stay in enumerate(stays) if not stay]
        if not leaving or len(layer.weight) == stays.sum():
            continue  # or it went with another
        if isinstance(layer, nn.Linear):
            prune = torch_pruning.prune_linear_out_channels
        elif layer.groups == layer.out_channels > 1:
            prune = torch_pruning.prune_depthwise_conv_out_channels
        else:
            prune = torch_pruning.prune_conv_out_channels
        graph.get_pruning_group(layer, prune, idxs=leaving).prune()
    return plain


def measured_networks() -> Iterator[Row]:
    for name, make in MEASURED.items():
        torch.manual_seed(0)
        net, shape = make()
        keep_alive(net, ALIVE)
        net.eval()
        x = torch.randn(64, *shape)
        compact, peer = hebbevo.compact(net, x), pruned_by_peer(net, x)
        nets = {"masked": net, "compact": compact} | ({"Torch-Pruning": peer} if peer else {})
        times = [latencies(dict(nets), x[:rows]) for rows in (1, 64)]
        for kind, each in nets.items():
            adds = hebbevo.count(each, x[:1]).loc["total"].multiply_adds
            yield {
                "network": name,
                "as": kind,
                "parameters": parameters(each),
                "multiply-adds": int(adds),
                "bytes": saved_bytes(each),
                "us, 1 row": round(times[0][kind], 1),
                "us, 64 rows": round(times[1][kind], 1),
            }


def compared_cases() -> Iterator[Row]:
    for name in NETWORKS:
        for share in (0.5, 0.1):
            torch.manual_seed(0)
            net, x = network(name, share)
            compaction = Compaction.of(net, x)
            row: Row = {
                "case": name,
                "alive": share,
                "parameters": parameters(net),
                "compact": parameters(compaction.module),
            }
            fresh = torch.randn(64, *x.shape[1:])
            with torch.no_grad():
                expected = net(fresh)
                row["difference"] = float((compaction.module(fresh) - expected).abs().max())
                try:
                    peer = pruned_by_peer(net, x)
                    if peer is not None:
                        row["Torch-Pruning"] = parameters(peer)
                        row["its difference"] = float((peer(fresh) - expected).abs().max())
                except Exception as error:
                    row["Torch-Pruning"] = f"{type(error).__name__}: {str(error)[:60]}"
            yield row


def measured_sparse() -> Iterator[Row]:
    for outputs, inputs in ((100, 300), (300, 784), (1000, 1000)):
        for density in (0.01, 0.02, 0.05, 0.1):
            torch.manual_seed(0)
            layer = nn.Linear(inputs, outputs).requires_grad_(False)
            layer.weight.mul_(torch.rand(outputs, inputs) < density)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that CSR is in beta
                rows_of_weights, bias = layer.weight.to_sparse_csr(), layer.bias[:, None]

            def by_rows(x: Tensor, weight: Tensor = rows_of_weights, bias: Tensor = bias) -> Tensor:
                return torch.addmm(bias, weight, x.T).T

            for rows in (1, 64):
                found = latencies({"dense": layer, "csr": by_rows}, torch.randn(rows, inputs))
                yield {
                    "layer": f"{inputs} to {outputs}",
                    "density": density,
                    "rows": rows,
                    "us, dense": round(found["dense"], 1),
                    "us, CSR": round(found["csr"], 1),
                }


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "networks": measured_networks,
    "cases": compared_cases,
    "sparse": measured_sparse,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default=",".join(TABLES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = []
    for name in options.only.split(","):
        table = pd.DataFrame(list(TABLES[name]()))
        print(table.to_string(index=False), end="\n\n", flush=True)
        tables.append(table.assign(table=name))
    pd.concat(tables).to_csv(options.file, index=False)


if __name__ == "__main__":
    main()
