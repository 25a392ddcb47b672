"""The JSON Schema of space files, with which editors complete and check them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hebbevo.data import BUILT_IN
from hebbevo.networks import FAMILIES, LAYERED, READOUTS
from hebbevo.objectives.goal import COUNTS
from hebbevo.rules import AXES
from hebbevo.samplers import SAMPLERS
from hebbevo.space.knobs import Knob
from hebbevo.spec.schema import Search, Spec
from hebbevo.training import KNOBS, SCORES

_Schema = dict[str, Any]
_Knobs = Mapping[str, Sequence[Knob]]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_KEYWORDS = {"ge": "minimum", "le": "maximum"}
"""Keywords of pydantic, where it leaves them, and those of JSON Schema."""


def json_schema() -> _Schema:
    """The JSON Schema of space files. What it refuses cannot be searched.

    It knows the names of rules, knobs, samplers and their settings. What depends on the data, or on several
    keys together, only ``hebbevo check`` finds.

    >>> sorted(json_schema()["required"])
    ['genome', 'name', 'task', 'version']
    """
    schema: _Schema = _without_titles(Spec.model_json_schema())
    parts, top = schema["$defs"], schema["properties"]
    network, search, task = (parts[name]["properties"] for name in ("Network", "Search", "Task"))
    task["dataset"]["examples"] = [*BUILT_IN]
    task["score"]["examples"] = [*SCORES]
    for key, known in {"family": FAMILIES, "count": COUNTS, "readout": READOUTS, **AXES}.items():
        network[key]["enum"] = [*known]
    search["sampler"]["enum"] = [*SAMPLERS]
    parts["Search"]["allOf"] = [*_settings_of_samplers()]
    of_family = _by_name(*(family.knobs for family in FAMILIES.values()))
    settable = _by_name(*(rule.knobs for rules in AXES.values() for rule in rules.values()), KNOBS)
    keys = {"depth", *network}  # what network itself has no key for is a setting
    settable |= {name: knobs for name, knobs in of_family.items() if name not in keys}
    searchable = {**settable, **of_family}
    parts["Gene"] = top["genome"].pop("additionalProperties")
    top["genome"] |= _described(searchable, {"$ref": "#/$defs/Gene"})
    network["settings"] |= _described(settable, network["settings"]["additionalProperties"])
    values = {name: _values(knobs) for name, knobs in searchable.items()}
    # the function that builds a network of the user's has arguments of any name, with any values
    parts["OfFamilies"] = {
        "properties": {
            "genome": {
                "propertyNames": _names(searchable),
                "properties": {name: _genes(values[name], knobs) for name, knobs in searchable.items()},
            },
            "network": {
                "properties": {
                    "settings": {
                        "propertyNames": _names(settable),
                        "properties": {name: values[name] for name in settable},
                    }
                }
            },
        }
    }
    has_module = {"required": ["network"], "properties": {"network": {"required": ["module"]}}}
    of_families = {"if": has_module, "else": {"$ref": "#/$defs/OfFamilies"}}
    return {"$schema": _DRAFT, "title": "hebbevo space file", **schema, **of_families}


def _settings_of_samplers() -> Iterator[_Schema]:
    """For each sampler the settings that it has."""
    for name, sampler in SAMPLERS.items():
        knobs = _by_name(sampler.knobs)
        is_named: _Schema = {"properties": {"sampler": {"const": name}}}
        if name != Search().sampler:  # which is meant where none is named
            is_named["required"] = ["sampler"]
        settings = _described(knobs, {}) | {"propertyNames": {"enum": [*knobs]}}
        for knob, own in knobs.items():
            settings["properties"][knob] |= _values(own)
        yield {"if": is_named, "then": {"properties": {"settings": settings}}}


def _described(knobs: _Knobs, value: _Schema) -> _Schema:
    """A mapping in which knobs have their meaning, and every value the same schema."""
    known = {name: {**value, "description": _meaning(each)} for name, each in knobs.items()}
    return {"properties": known, "additionalProperties": value}


def _names(knobs: Collection[str]) -> _Schema:
    """The names of knobs, also in one layer."""
    layered = "|".join(re.escape(name) for name in sorted(LAYERED))
    return {"anyOf": [{"enum": [*knobs]}, {"pattern": rf"^({layered})\.\d+$"}]}


def _values(knobs: Sequence[Knob]) -> _Schema:
    """The values that at least one of several knobs of a name accepts."""
    if all(knob.choices for knob in knobs):
        return {"enum": list(dict.fromkeys(choice for knob in knobs for choice in knob.choices))}
    if any(knob.choices for knob in knobs):
        return {}
    low, high = min(knob.low for knob in knobs), max(knob.high for knob in knobs)
    found: _Schema = {"type": "integer" if all(knob.kind is int for knob in knobs) else "number"}
    bounds = {"minimum": low, "maximum": high}
    return found | {bound: value for bound, value in bounds.items() if math.isfinite(value)}


def _genes(values: _Schema, knobs: Sequence[Knob]) -> _Schema:
    """The genes over such values."""
    if "enum" in values:
        return {"required": ["choices"], "properties": {"choices": {"items": values}}}
    of_layers = {"anyOf": [values, {"type": "array", "items": values}]}
    items = of_layers if any(knob.per_layer for knob in knobs) else values
    return {"properties": {"low": values, "high": values, "choices": {"items": items}}}


def _by_name(*tables: Mapping[str, Knob]) -> dict[str, list[Knob]]:
    found: dict[str, list[Knob]] = {}
    for table in tables:
        for name, knob in table.items():
            found.setdefault(name, []).append(knob)
    return found


def _meaning(knobs: Iterable[Knob]) -> str:
    """What knobs of one name mean, in a paragraph for each meaning."""
    texts = (f"{knob.meaning}; {knob.range_text()}; default {str(knob.default).lower()}" for knob in knobs)
    return "\n\n".join(dict.fromkeys(texts))


def _without_titles(schema: Any) -> Any:
    """A schema without the titles that pydantic makes of names, and in the words of JSON Schema."""
    if isinstance(schema, dict):
        kept = {key: each for key, each in schema.items() if not (key == "title" and isinstance(each, str))}
        return {_KEYWORDS.get(key, key): _without_titles(each) for key, each in kept.items()}
    return [_without_titles(each) for each in schema] if isinstance(schema, list) else schema
