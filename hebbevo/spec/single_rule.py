"""Advice for space files of an earlier hebbevo, where a network had one ``rule`` in place of three."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hebbevo.messages import listed
from hebbevo.rules import AXES
from hebbevo.spec.messages import Problem
from hebbevo.spec.raw_data import mapping_at

_RULES_NOW = {
    "stamina": {"units": "stamina"},
    "hebb_mask": {"units": "dense", "connections": "hebb_mask"},
    "dense": {"units": "dense"},
}
"""For each former rule, the rules that do the same now."""

_EXPLANATION = "units, connections and credit have a rule each"


def network_advice(name: object) -> str:
    """What to write in place of ``network.rule``.

    >>> network_advice("dense")
    'units, connections and credit have a rule each; write units: dense'
    """
    rules = _RULES_NOW.get(str(name), {"units": f"RULE, one of {listed(AXES['units'])}"})
    return f"{_EXPLANATION}; write {', '.join(f'{axis}: {rule}' for axis, rule in rules.items())}"


def genome_problems(raw: object) -> Iterator[Problem]:
    """Find a gene ``rule`` and conditions on it."""
    # the function of a network of the user's may have an argument of that name
    if mapping_at(raw, "network").get("module") is not None:
        return
    genome = mapping_at(raw, "genome")
    if "rule" in genome:
        choices = _texts(mapping_at(genome, "rule").get("choices"))
        yield Problem(("genome", "rule"), f"{_EXPLANATION}; write {_gene_advice(choices)}")
    for name in genome:
        when = mapping_at(genome, name, "when")
        if "rule" in when:
            what = f"{_EXPLANATION}; write {_condition_advice(_texts(when['rule']))}"
            yield Problem(("genome", name, "when", "rule"), what)


def _gene_advice(choices: Sequence[str]) -> str:
    rules = [_RULES_NOW.get(name, {}) for name in choices]
    units = listed(dict.fromkeys(each["units"] for each in rules if each))
    if not units or not all(rules):
        return "a gene for each that is searched, as in units: {choices: [stamina, dense]}"
    if "hebb_mask" not in choices:
        return f"a gene units: {{choices: [{units}]}}"
    masks = listed(each.get("connections", "full") for each in rules if each["units"] == "dense")
    if units == "dense":
        return f"units: dense in network, and a gene connections: {{choices: [{masks}]}}"
    connections = f"connections: {{choices: [{masks}], when: {{units: dense}}}}"
    return f"genes units: {{choices: [{units}]}} and {connections}"


def _condition_advice(names: Sequence[str]) -> str:
    axes = {"connections" if name == "hebb_mask" else "units" for name in names}
    if len(axes) != 1 or not _RULES_NOW.keys() >= set(names):
        return "a condition on units or connections, as in when: {units: stamina}"
    value = names[0] if len(names) == 1 else f"[{listed(names)}]"
    return f"when: {{{axes.pop()}: {value}}}"


def _texts(value: object) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
