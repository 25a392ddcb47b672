"""The text of a new space file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hebbevo.data import Kind
from hebbevo.errors import UsageError
from hebbevo.messages import printable
from hebbevo.rules import UNITS
from hebbevo.spec.loading import file_name
from hebbevo.spec.new.genes import NewGene, knob_genes
from hebbevo.spec.new.own_network import OwnNetwork, own_network
from hebbevo.spec.new.seen_data import SeenData, seen
from hebbevo.spec.new.sizes import layers_for, multiply_adds, size_for
from hebbevo.training import KNOBS

_WIDTH = 100
_TRAINING = ("learning_rate", "weight_decay")
_SETTLE = 0.3  # where it is no gene; as in the shipped hebb_mask space
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_FOR_UNEVEN_CLASSES = (
    "  # Some classes are much larger than others. To count all alike:",
    "  # score: balanced_accuracy",
    "  # class_weight: balanced",
)
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


@dataclass(frozen=True)
class NewSpace:
    """A new space file.

    Attributes:
        text: what stands in it.
        data: the data in a few words.
        search: the search in a few words.
    """

    text: str
    data: str
    search: str


def new_space(
    name: str, dataset: str, target: str | None = None, module: str | None = None, kind: Kind | None = None
) -> NewSpace:
    """Write a space that fits some data, and a network of the user's where there is one.

    >>> new_space("mine.yaml", "digits").data
    '1259 training rows of shape 1 x 8 x 8, 10 classes'

    Args:
        name: the name of the space, or the path of its file.
        dataset: name, path or reference of the data.
        target: the column to predict, for tables.
        module: a function that builds the network, as ``package.module:name``.
        kind: what is predicted; by default what the labels look like.

    Raises:
        UsageError: no network can be trained on these data, or the function cannot be used.
    """
    data = seen(dataset, target, kind)
    layers = layers_for(data.shape)
    own = None if module is None else own_network(module, data.shape, data.outputs)
    size = size_for(data.rows, own.multiply_adds if own else multiply_adds(layers, data.shape, data.outputs))
    genes = [*(own.arguments if own else ()), *_genes_of_rules(own)]
    shape = {"family": "conv", "channels": list(layers.channels)} if layers.channels else {"family": "mlp"}
    network: dict[str, Any] = {**shape, "hidden": list(layers.hidden), "units": "stamina"}
    if module is not None and own is not None:
        network = {"module": module} | ({} if own.count == "neurons" else {"count": own.count})
    if own is not None and "settle" in own.knobs and "settle" not in {each.name for each in genes}:
        network["settings"] = {"settle": _SETTLE}
    about_network = _about_network(data, own, is_convolutional=bool(layers.channels))
    lines = [
        *_comment(f"Made by 'hebbevo new' for {data.summary}."),
        *_comment("Change what you like: 'hebbevo check' says what is wrong with it."),
        *_comment("For completion in an editor, see 'hebbevo schema --help'."),
        "version: 1",
        f"name: {_text(file_name(name))}",
        "",
        "task:",
        *_keys(data.task),
        *_comment(_about_kind(data), indent=2),
        f"  kind: {data.kind}",
        *(_FOR_UNEVEN_CLASSES if data.is_uneven else ()),
        f"  epochs: {size.epochs}",
        f"  batch_size: {size.batch_size}",
        *(line for remark in data.remarks for line in _comment(f"Note: {remark}", indent=2)),
        "",
        "network:",
        *_comment(about_network, indent=2),
        *_keys(network),
        "",
        "search:",
        *_comment("More trials give a better front; 'hebbevo resume' adds some to a study.", indent=2),
        "  sampler: surrogate",
        f"  population: {size.population}  # genomes of a generation",
        f"  trials: {size.trials}",
        "  keep: front  # the weights of the front stay in the study, for 'hebbevo export'",
        "  seed: 0",
        "",
        *_comment("A gene is a range {low, high}, or {choices: [...]}. What is no gene keeps its default."),
        "genome:",
        *_genes(genes),
    ]
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{printable(dataset)}: its name is no UTF-8 text; rename it") from error
    count = sum(each.gene is not None for each in genes)
    return NewSpace(text, data.summary, f"{count} genes, {size.trials} trials of {size.epochs} epochs")


def _genes_of_rules(own: OwnNetwork | None) -> Iterator[NewGene]:
    """The genes of rules and of the training, but for names that arguments have."""
    taken = set() if own is None else {each.name for each in own.arguments}
    knobs = UNITS["stamina"].knobs if own is None else own.knobs
    for known in (knobs, {name: KNOBS[name] for name in _TRAINING}):
        yield from knob_genes({name: knob for name, knob in known.items() if name not in taken})


def _about_network(data: SeenData, own: OwnNetwork | None, is_convolutional: bool) -> str:
    if own is not None:
        if own.knobs:
            return "A function of yours builds the network; genes are its arguments and the knobs in it."
        return (
            "The network has no module that prunes. Put hebbevo.nn.Stamina(n) in place of a ReLU to let its "
            "units be pruned, and run 'hebbevo new' again."
        )
    if is_convolutional:
        return (
            "Convolutions with so many channels, then hidden layers of so many neurons, of which many can go."
        )
    images = " For convolutions write family: conv and channels: [8, 16]." if len(data.shape) == 3 else ""
    return f"Neurons of each hidden layer before pruning, and the rule that prunes them.{images}"


def _about_kind(data: SeenData) -> str:
    if data.kind == "regression":
        what = f"The target has {data.labels} different numbers, which are taken for amounts"
        return f"{what}; if each is a class, write classification."
    return "Each different label is a class; if labels are amounts, write regression."


def _genes(genes: Iterable[NewGene]) -> Iterator[str]:
    for each in genes:
        yield from _comment(each.comment, indent=2)
        if each.gene is not None:
            yield f"  {_text(each.name)}: {_flow(each.gene)}"


def _keys(content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        yield f"  {key}: {_flow(value)}"


def _flow(value: object) -> str:
    """A value on one line, as a space file has it."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_text(str(key))}: {_flow(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return _text(value) if isinstance(value, str) else str(value).lower()


def _text(text: str) -> str:
    """A text as YAML has it: in quotes where it could be something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', width=2**31, allow_unicode=True)
    return quoted.removesuffix("\n")


def _comment(text: str, indent: int = 0) -> Sequence[str]:
    begin = " " * indent + "# "
    return textwrap.wrap(
        printable(text), _WIDTH, initial_indent=begin, subsequent_indent=begin, break_on_hyphens=False
    )
