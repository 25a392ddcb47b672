"""Whether what is installed, and the user's code, can do what a space file says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hebbevo import user_code
from hebbevo.data import BUILT_IN, FILE_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES
from hebbevo.errors import UsageError
from hebbevo.networks import DEFAULT_RULES, FAMILIES, LAYERED, READOUTS, split_layer
from hebbevo.objectives.goal import COUNTS
from hebbevo.rules import AXES, known_knobs
from hebbevo.samplers import SAMPLERS
from hebbevo.space.knobs import Knob
from hebbevo.spec.counts import survivors_of
from hebbevo.spec.field_types import CODE, is_scalar
from hebbevo.spec.fit import fit_problems, possible_rules
from hebbevo.spec.messages import KeyPath, Problem, is_inside, not_known, shown
from hebbevo.spec.raw_data import mapping_at, sound_part, valid_genes
from hebbevo.spec.schema import Network, Search
from hebbevo.spec.starting_points import start_problems
from hebbevo.spec.structure import structure_problems
from hebbevo.training import DEFAULT_SCORES, KNOBS, SCORES

_Known = Mapping[str, Sequence[Knob]]
"""For each name that can be set, the knobs that its value must suit; none where every value will do."""


def problems(raw: object) -> list[Problem]:
    """Find everything that is wrong with the data of a space file, in no particular order."""
    found = [*structure_problems(raw), *_name_problems(raw)]
    sound = sound_part(raw, [problem.path for problem in found])
    if sound is None:
        return found
    if not sound.network.module:
        found += fit_problems(sound)
    is_whole = not any(is_inside(problem.path, _OF_GENOMES) for problem in found)
    return [*found, *start_problems(sound)] if is_whole else found


_OF_GENOMES: tuple[KeyPath, ...] = (("network",), ("genome",))
"""The parts of a space file that say which genomes there are."""


def _name_problems(raw: object) -> Iterator[Problem]:
    """Find names that nothing has, and values that their knobs refuse, in every part that is sound."""
    sampler = mapping_at(raw, "search").get("sampler", Search().sampler)
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        yield Problem(("search", "sampler"), not_known(sampler, "a sampler", SAMPLERS))
    elif isinstance(sampler, str):
        known = _by_name(SAMPLERS[sampler].knobs)
        yield from _setting_problems(raw, "search", f"a setting of {sampler}", known)
    task = mapping_at(raw, "task")
    yield from _data_problems(task)
    for key in ("loss", "score"):
        yield from _code_problems(("task", key), task.get(key))
    yield from _score_problems(task)
    count = mapping_at(raw, "network").get("count")
    if isinstance(count, str) and count not in COUNTS:
        yield Problem(("network", "count"), not_known(count, "what can be counted", COUNTS))
    readout = mapping_at(raw, "network").get("readout")
    if isinstance(readout, str) and readout not in READOUTS:
        yield Problem(("network", "readout"), not_known(readout, "a readout", READOUTS))
    yield from _count_problems(raw)
    module = mapping_at(raw, "network").get("module")
    yield from _family_problems(raw) if module is None else _module_problems(raw, module)


def _family_problems(raw: object) -> Iterator[Problem]:
    """Find what no network of a built-in family can have."""
    network, genes = mapping_at(raw, "network"), valid_genes(raw)
    family = network.get("family", Network().family)
    fixed = {axis: network.get(axis, DEFAULT_RULES[axis]) for axis in AXES}
    if isinstance(family, str) and family not in FAMILIES:
        yield Problem(("network", "family"), not_known(family, "a family", FAMILIES))
    for axis, name in fixed.items():
        if isinstance(name, str) and name not in AXES[axis]:
            yield Problem(("network", axis), not_known(name, f"a rule for {axis}", AXES[axis]))
    possible = {
        axis: possible_rules(axis, fixed[axis], genes, mapping_at(network, "settings")) for axis in AXES
    }
    rules = {
        axis: [known[name] for name in possible[axis] if isinstance(name, str) and name in known]
        for axis, known in AXES.items()
    }
    is_open = any(len(rules[axis]) < len(possible[axis]) for axis in AXES)
    is_open |= any(split_layer(name)[0] in AXES for name in mapping_at(raw, "genome") if name not in genes)
    if isinstance(family, str) and family in FAMILIES:
        with_knobs = [rule for on_axis in rules.values() for rule in on_axis if rule.knobs]
        noun = f"a knob of {' or '.join(dict.fromkeys(rule.name for rule in with_knobs))}"
        of_rules: _Known = _by_name(*(rule.knobs for rule in with_knobs))
        if is_open:  # a rule is misspelt, so that any knob of any rule may be meant
            noun, of_rules = "a knob of any rule", {**dict.fromkeys(known_knobs(), ()), **of_rules}
        of_family = _by_name(FAMILIES[family].knobs)
        of_layers = _layer_knobs(raw, {**of_rules, **of_family})
        keys = {"depth", *Network.model_fields}  # what network itself has no key for is a setting
        own = {name: knobs for name, knobs in of_family.items() if name not in keys}
        settable = {**of_rules, **_by_name(KNOBS), **own, **of_layers}
        yield from _setting_problems(raw, "network", noun, settable)
        known = {**settable, **of_family}
        yield from _gene_problems(raw, noun, known, LAYERED)


def _module_problems(raw: object, module: object) -> Iterator[Problem]:
    """Find what a network of the user's cannot have; its modules are known only once it is built."""
    from hebbevo.networks import arguments  # imports PyTorch

    for key, field in Network.model_fields.items():
        given = mapping_at(raw, "network").get(key)
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        if key not in ("module", "count", "settings") and given is not None and given != default:
            yield Problem(("network", key), "is for hebbevo's own families; drop it, or drop module")
    if not isinstance(module, str) or not user_code.is_reference(module):
        return
    user_code.refresh([module])
    try:
        accepted = arguments(module)
    except UsageError as error:
        yield Problem(("network", "module"), str(error))
        return
    of_modules = _by_name(known_knobs())
    names = [*mapping_at(raw, "genome"), *mapping_at(raw, "network", "settings")]
    of_layers = {name: of_modules[knob] for name in names if (knob := name.rpartition(".")[2]) in of_modules}
    of_function: _Known = dict.fromkeys(accepted, ())
    # the function's arguments come first in the list and also replace knobs of the same name
    known: _Known = {**of_function, **of_modules, **_by_name(KNOBS), **of_layers, **of_function}
    noun = f"an argument of {module} or a knob"
    yield from _setting_problems(raw, "network", noun, known)
    yield from _gene_problems(raw, noun, known, ())


def _code_problems(path: KeyPath, name: object) -> Iterator[Problem]:
    """Find why the code that is named cannot be imported: a space file is read in order to run it."""
    if isinstance(name, str) and user_code.is_reference(name):
        user_code.refresh([name])
        try:
            user_code.resolve(name)
        except UsageError as error:
            yield Problem(path, str(error))


def _score_problems(task: Mapping[str, Any]) -> Iterator[Problem]:
    """Find a score or weights that are for another kind of task, or for another loss."""
    kind, score = task.get("kind", "classification"), task.get("score")
    if kind not in DEFAULT_SCORES:
        return
    if isinstance(score, str) and score.isidentifier():
        known = [name for name, each in SCORES.items() if each.kind == kind]
        if score not in known:
            what = not_known(score, f"a score of a {kind}", [*known, f"{CODE} of a function"])
            yield Problem(("task", "score"), what)
    if task.get("class_weight") is not None:
        if kind != "classification":
            yield Problem(("task", "class_weight"), "a regression has no classes; drop it")
        elif task.get("loss") is not None:
            what = "is for the built-in loss; drop it, and weigh the classes in task.loss"
            yield Problem(("task", "class_weight"), what)


def _count_problems(raw: object) -> Iterator[Problem]:
    """Find counts that a space file names twice, or that cannot be measured beside survivors."""
    count = mapping_at(raw, "network").get("count", Network().count)
    if count not in COUNTS:
        return  # another line says so
    objectives = {**mapping_at(raw, "objectives"), **mapping_at(raw, "objectives", "weighted")}
    survivors = survivors_of(count, objectives)
    if count not in objectives and survivors != count != Network().count:
        what = f"no objective is {count}, and the first count among them is {survivors}"
        yield Problem(("network", "count"), f"{what}; drop it, or name {count} as an objective")
    for part in (("objectives",), ("objectives", "weighted"), ("constraints",)):
        names: Mapping[str, Any] = mapping_at(raw, *part)
        if survivors in names and "survivors" in names:
            yield Problem((*part, survivors), f"survivors are {survivors}; drop one of the two")
        if "neurons" in names and survivors != "neurons":
            advice = (
                "name neurons as an objective, too"
                if part == ("constraints",)
                else f"write {survivors} in place of survivors"
            )
            what = f"survivors are {survivors} here, and neurons are not counted beside them"
            yield Problem((*part, "neurons"), f"{what}; {advice}")


def _data_problems(task: Mapping[str, Any]) -> Iterator[Problem]:
    dataset = task.get("dataset")
    if not isinstance(dataset, str):
        return
    is_code, path = user_code.is_reference(dataset), dataset.lower()
    is_table = not is_code and path.endswith(TABLE_SUFFIXES)
    if is_code:
        yield from _code_problems(("task", "dataset"), dataset)
    elif dataset not in BUILT_IN and not path.endswith(FILE_SUFFIXES):
        known = [*BUILT_IN, f"a path that ends in {', '.join(FILE_SUFFIXES)}", f"{CODE} of a function"]
        yield Problem(("task", "dataset"), not_known(dataset, "a data set", known))
        return
    elif is_table and task.get("target") is None:
        yield Problem(("task", "target"), "missing; write the name of the column to predict")
    table = mapping_at(task, "table")
    if table and not is_table:
        yield Problem(("task", "table"), f"{dataset} is no table; drop it")
    elif not path.endswith(TEXT_SUFFIXES) and (
        written := {"separator", "decimal", "encoding"} & table.keys()
    ):
        yield Problem(("task", "table", min(written)), "is for .csv and .tsv; drop it")
    if task.get("split") is not None and dataset in BUILT_IN:
        yield Problem(("task", "split"), f"{dataset} has no columns to split by; drop it")
    test = task.get("test")
    if isinstance(test, str):
        suffixes = TABLE_SUFFIXES if is_table else (".npz",) if path.endswith(".npz") else ()
        if is_code or not suffixes:
            yield Problem(("task", "test"), f"{dataset} has its own test rows; drop it")
        elif not test.lower().endswith(suffixes):
            yield Problem(
                ("task", "test"), f"{shown(test)} is another kind of file than {dataset}; write both alike"
            )


def _setting_problems(raw: object, part: str, noun: str, known: _Known) -> Iterator[Problem]:
    """Find settings that are not known, or that a knob of the name refuses."""
    for name, value in mapping_at(raw, part, "settings").items():
        if name not in known:
            yield Problem((part, "settings", name), not_known(name, noun, known))
        elif is_scalar(value):
            found = [what for knob in known[name] if (what := knob.problem(value))]
            yield from (Problem((part, "settings", name), what) for what in found)


def _gene_problems(raw: object, noun: str, known: _Known, layered: Collection[str]) -> Iterator[Problem]:
    """Find genes that are unknown, that a knob refuses, that cannot be repeated, or that are settings too."""
    genome = mapping_at(raw, "genome")
    for name in genome:
        if name not in known:
            yield Problem(("genome", name), not_known(name, noun, known))
    for name, gene in valid_genes(raw).items():
        if name in known:
            for knob in known[name]:
                yield from (Problem(("genome", name, *path), what) for path, what in gene.problems_with(knob))
            if gene.repeat is not None and name not in layered:
                yield Problem(("genome", name, "repeat"), f"{name} is not set per layer; drop repeat")
    for name in mapping_at(raw, "network", "settings"):
        if name in genome:
            yield Problem(("network", "settings", name), "is a gene too; drop it here or in the genome")


def _layer_knobs(raw: object, known: _Known) -> _Known:
    """The knobs of names such as ``grace.2``, which set ``grace`` in one layer, in genome and settings."""
    names = [*mapping_at(raw, "genome"), *mapping_at(raw, "network", "settings")]
    stems = {name: split_layer(name) for name in names if isinstance(name, str)}
    return {
        name: known[stem]
        for name, (stem, layer) in stems.items()
        if layer is not None and stem in LAYERED and stem in known
    }


def _by_name(*tables: Mapping[str, Knob]) -> dict[str, list[Knob]]:
    """The knobs of all tables. Knobs of one name are set together, so a value must suit each of them."""
    found: dict[str, list[Knob]] = {}
    for knobs in tables:
        for name, knob in knobs.items():
            found.setdefault(name, []).append(knob)
    return found
