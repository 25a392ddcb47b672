"""The first section: which network to take, what it will score, and whether it was worth it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from markupsafe import Markup

from hebbevo.messages import printable
from hebbevo.report.charts import embedded
from hebbevo.report.figures.verdict import verdict_figure
from hebbevo.report.formatting import (
    NONE,
    accuracy,
    count,
    percent,
    random_accuracy,
    score,
    survivors,
    trial_name,
)
from hebbevo.report.formatting import title as plain
from hebbevo.report.networks import key
from hebbevo.report.queries import rows
from hebbevo.report.resolution import validation_rows
from hebbevo.report.section import Section
from hebbevo.study.choices import Choices, Noise, confirmed_choices, confirmed_front, found_choices
from hebbevo.study.view import Study
from hebbevo.user_code import is_reference

TITLE = "The decision"


def decision(study: Study) -> Section:
    """Make the section: in confirmed numbers, or in those found, with the warning that they are only that."""
    confirmation, front = study.confirmation, study.front()
    if confirmation is not None and confirmation.members()["confirmed_accuracy"].notna().any():
        return Section.of(TITLE, "decision_confirmed", **_confirmed(study))
    return Section.of(
        TITLE,
        "decision_found",
        answer=_answer(study, front),
        cards=_found_cards(study, front),
        warning=_warning(study, front),
        rows=validation_rows(study),
        measure=_measure(study),
        confirm=f"hebbevo confirm {study.store.command}",
        unfinished=confirmation is not None,
        prunes=study.prunes,
    )


def _answer(study: Study, front: pd.DataFrame) -> str:
    best, nearest = study.best(), study.nearest()
    if nearest is not None:
        return (
            f"No trial meets the constraints ({study.goal.limits}); the nearest reaches "
            f"{_sentence(study, nearest)}."
        )
    if front.empty:
        failed = (study.trials()["state"] == "failed").any()
        return (
            "Every finished trial failed; the reasons are below." if failed else "No trial has finished yet."
        )
    if best is not None:
        return f"The best network{_within(study)}, by {study.goal.aim}, reaches {_sentence(study, best)}."
    choices = found_choices(study, front)
    best_row, small = front.iloc[choices.best], front.iloc[choices.small]
    text = f"The best network{_within(study)} reaches {_sentence(study, best_row)}"
    if choices.small == choices.best:
        return f"{text}; no smaller one is within its noise."
    return f"{text}; the smallest within its noise reaches {_sentence(study, small)}."


def _within(study: Study) -> str:
    return " within the constraints" if study.goal.constraints else ""


def _sentence(study: Study, row: Any) -> str:
    name = "" if study.in_percent else f"{study.score} "
    share = percent(row["survivors"] / row["neurons"])
    return (
        f"{name}{score(study, row['accuracy'])} with {count(row['survivors'])} of {count(row['neurons'])} "
        f"{study.count}{_further(study, row)} ({share}, {trial_name(study, row)})"
    )


def _found_cards(study: Study, front: pd.DataFrame) -> list[dict[str, Any]]:
    best = study.best()
    if best is not None:
        return [_found_card(study, "The best", study.goal.aim, best)]
    if front.empty:
        return []
    choices = found_choices(study, front)
    return [
        _found_card(study, title, why, front.iloc[place])
        for title, why, place in _roles(study, choices, front["survivors"])
    ]


def _roles(study: Study, choices: Choices, survivors: pd.Series[float]) -> list[tuple[str, str, int]]:
    """Title, reason and place of each network to show; a network that has several roles is shown once."""
    within = f"within {_size(study, choices.noise)} of the best: {choices.noise.source}"
    roles: dict[int, tuple[list[str], str]] = {}
    for place, title, why in (
        (choices.small, "The smallest within the noise of the best", within),
        (choices.best, "The most accurate", f"highest {study.score}"),
        (choices.knee, "The knee", f"where fewer {study.count} begin to cost much"),
    ):
        if place is None:
            continue
        titles, reason = roles.setdefault(place, ([], why))
        titles.append(title if not titles else title[0].lower() + title[1:])
        roles[place] = titles, reason
    return [(", also ".join(titles), why, place) for place, (titles, why) in roles.items()]


def _size(study: Study, noise: Noise) -> str:
    return f"{100 * noise.size:.2g} points" if study.in_percent else f"{noise.size:.2g}"


def _found_card(study: Study, title: str, why: str, row: Any) -> dict[str, Any]:
    return {
        **_card(study, title, why, row, row["survivors"]),
        "score": accuracy(study, row),
        "size": f"{survivors(row)} of {count(row['neurons'])} {study.count}{_further(study, row)}",
        "facts": {"with random weights": random} if (random := random_accuracy(study, row)) else {},
    }


def _card(study: Study, title: str, why: str, row: Any, left: float) -> dict[str, Any]:
    """What the card of a network says, found or confirmed, of which ``left`` neurons are left."""
    unpruned = left >= row["neurons"]
    return {
        "title": title,
        "why": why,
        "key": key(row),
        "name": trial_name(study, row),
        "remark": f"It lost none of its {study.count}: the rule did nothing here."
        if unpruned and study.prunes
        else "",
    }


def _further(study: Study, row: Any, kind: str = "") -> str:
    """What is counted beside survivors, behind them: ", 741 connections"."""
    return "".join(f", {count(row[f'{kind}{name}'])} {plain(name)}" for name in study.further)


def _warning(study: Study, front: pd.DataFrame) -> str:
    done = int((study.trials()["state"] == "complete").sum())
    return "" if front.empty else f"Found, not confirmed: the best of {done:,} noisy scores."


def _measure(study: Study) -> str:
    given = study.settings["task"].get("score")
    own = given is not None and is_reference(given)
    name = study.score[0].upper() + study.score[1:]
    measure = f"Accuracy here means the score by {given}" if own else f"{name} is measured"
    return f"{measure} on validation data; the search never sees the test set."


def _confirmed(study: Study) -> dict[str, Any]:
    confirmation = study.confirmation
    assert confirmation is not None
    members = confirmation.members()
    front = confirmed_front(members)
    choices = confirmed_choices(study, front)
    roles = _roles(study, choices, front["confirmed_survivors"])
    judged = members["difference"].notna().any()
    columns = _columns(study, members)
    return {
        "answer": _take(study, front.iloc[choices.small]),
        "sentence": _capital(confirmation.sentence),
        "hypervolumes": _capital(confirmation.hypervolume_sentence),
        "cards": [_confirmed_card(study, title, why, front.iloc[place]) for title, why, place in roles],
        "header": [*columns],
        "rows": [[column(row).replace(" %", "") for column in columns.values()] for row in rows(members)],
        "keys": [key(row) for row in rows(members)],
        "chart": embedded(verdict_figure(study), "verdict") if judged else Markup(),
        "replicates": confirmation.replicates,
        "score": study.score,
        "verdict_rows": confirmation.verdict_rows,
        "has_control": not confirmation.no_control,
        "of_layers": bool(members["random_accuracy"].notna().any()),
        "has_test": confirmation.has_test,
        "date": confirmation.date,
        "is_stale": confirmation.is_stale,
        "is_complete": confirmation.is_complete,
        "is_front": study.goal.dimension > 1,
        "hypervolume": f"{confirmation.hypervolume:.4f}",
        "found_hypervolume": f"{study.hypervolume():.4f}",
        "confirm": f"hebbevo confirm {study.store.command}",
    }


def _take(study: Study, row: Any) -> str:
    """The answer in one sentence: which network to take, what it scores, and what a dense one scores."""
    has_test = not math.isnan(row["test_accuracy"])
    value, rows = ("test", "test") if has_test else ("confirmed", "validation")
    text = (
        f"Take {trial_name(study, row)}: {_with_sd(study, row, value)} on {rows} rows, with "
        f"{count(row['confirmed_survivors'])} of {count(row['neurons'])} {study.count}"
        f"{_further(study, row, 'confirmed_')}"
    )
    if math.isnan(row["control_accuracy"]):
        return f"{text}."
    dense = score(study, row["control_accuracy"])
    judged = {"above": "it is above that", "level": "it is level with that", "below": "it is below that"}
    ending = f": {judged[row['verdict']]}" if row["verdict"] in judged else ""
    return f"{text}. A dense network with {study.equal_size} scores {dense}{ending}."


def _capital(sentence: str) -> str:
    text = sentence.strip()
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith(".") else f"{text}."


def _confirmed_card(study: Study, title: str, why: str, row: Any) -> dict[str, Any]:
    left = row["confirmed_survivors"]
    return {
        **_card(study, title, why, row, left),
        "score": score(study, row["confirmed_accuracy"]),
        "size": f"{count(left)} of {count(row['neurons'])} {study.count}{_further(study, row, 'confirmed_')}",
        "facts": _facts(study, row),
    }


def _facts(study: Study, row: Any) -> dict[str, str]:
    """What a card says of a confirmed network, without what was not measured."""
    confirmation = study.confirmation
    assert confirmation is not None
    rows = "test rows" if confirmation.has_test else "verdict rows"
    facts = {
        "one training": _with_sd(study, row, "confirmed"),
        "mean, 95 %": _interval(study, row, "confirmed_low", "confirmed_high"),
        "on test rows": _with_sd(study, row, "test"),
        f"dense, {rows}": _with_sd(study, row, "control"),
        "less dense": _difference(study, row, "difference", "difference_low", "difference_high"),
        f"best of {int(row['best_of'])} dense": _with_sd(study, row, "best_of"),
        f"readout, {rows}": _with_sd(study, row, "readout"),
        f"random weights, {rows}": _with_sd(study, row, "random"),
        "verdict": _verdict(row["verdict"]),
        "found": f"{score(study, row['found_accuracy'])} with {count(row['found_survivors'])}",
    }
    return {title: text for title, text in facts.items() if text}


def _verdict(word: Any) -> str:
    return {
        "above": "above a dense network",
        "level": "level with a dense network",
        "below": "below a dense network",
    }.get(str(word), printable(word))


def _interval(study: Study, row: Any, low: str, high: str) -> str:
    if math.isnan(row[low]):
        return ""
    return f"{score(study, row[low]).removesuffix(' %')} to {score(study, min(row[high], 1.0))}"


def _with_sd(study: Study, row: Any, kind: str) -> str:
    mean, sd = row[f"{kind}_accuracy"], row[f"{kind}_sd"]
    if math.isnan(mean):
        return ""
    text = score(study, mean)
    return text if math.isnan(sd) else f"{text.removesuffix(' %')} ± {score(study, sd)}"


def _difference(study: Study, row: Any, middle: str, low: str, high: str) -> str:
    if math.isnan(row[middle]):
        return ""
    value, *ends = (
        f"{100 * each:+.1f}" if study.in_percent else f"{each:+.3f}"
        for each in (row[middle], row[low], row[high])
    )
    return f"{value} ({ends[0]} to {ends[1]})"


def _columns(study: Study, members: pd.DataFrame) -> dict[str, Callable[[dict[str, Any]], str]]:
    """The columns of the table of confirmed networks, by title, without those that were not measured."""
    unit = ", %" if study.in_percent else ""

    def with_sd(title: str, kind: str) -> dict[str, Callable[[dict[str, Any]], str]]:
        return {f"{title}{unit}": lambda row: _with_sd(study, row, kind) or NONE}

    def of_count(name: str) -> dict[str, Callable[[dict[str, Any]], str]]:
        return {
            f"{plain(name)}, found": lambda row: count(row[f"found_{name}"]),
            f"{plain(name)}, confirmed": lambda row: _count_with_sd(row, name),
        }

    dense = {
        **with_sd("dense", "control"),
        **with_sd("dense, longer", "longer"),
        **with_sd("dense, best of k", "best_of"),
        "k": lambda row: str(int(row["best_of"])) if row["best_of"] else NONE,
        "less dense (95 %)": lambda row: (
            _difference(study, row, "difference", "difference_low", "difference_high") or NONE
        ),
    }
    layers = with_sd("readout", "readout") | with_sd("random weights", "random")
    return {
        "network": lambda row: trial_name(study, row),
        f"found {study.score}{unit}": lambda row: score(study, row["found_accuracy"]),
        f"confirmed{unit} (95 %)": lambda row: _confirmed_score(study, row),
        f"{study.count}, found": lambda row: count(row["found_survivors"]),
        f"{study.count}, confirmed": lambda row: _count_with_sd(row, "survivors"),
        **{title: cell for name in study.further for title, cell in of_count(name).items()},
        **with_sd("test", "test"),
        **({} if members["control_accuracy"].isna().all() else dense),
        **({} if members["random_accuracy"].isna().all() else layers),
        "verdict": lambda row: f"{row['verdict']}{'' if row['on_front'] else ' *'}",
    }


def _confirmed_score(study: Study, row: dict[str, Any]) -> str:
    interval = _interval(study, row, "confirmed_low", "confirmed_high")
    mean = score(study, row["confirmed_accuracy"])
    return f"{mean} ({interval})" if interval else mean


def _count_with_sd(row: dict[str, Any], name: str) -> str:
    sd = row[f"{name}_sd"]
    return count(row[f"confirmed_{name}"]) + ("" if math.isnan(sd) else f" ± {count(sd)}")
