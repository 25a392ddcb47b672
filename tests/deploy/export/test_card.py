"""The model card says what was measured, and "not measured" for what was not."""

import json
import math

from hebbevo.data.columns import Column
from hebbevo.deploy.export.card import Card
from hebbevo.deploy.export.interface import PROBABILITIES, Interface
from hebbevo.deploy.network_figures import NetworkFigures, Origin
from hebbevo.deploy.provenance import Figures, Provenance

PROVENANCE = Provenance(
    name="towns",
    study="towns.db",
    trial=3,
    epoch=5,
    genome={"learning_rate": 0.01, "penalty_form": "mean"},
    seed=7,
    neurons=256,
    count="neurons",
    score="accuracy",
    figures={
        "found": Figures(score=0.95, survivors=26),
        "confirmed": Figures(score=0.9412, sd=0.01, survivors=27.4),
        "dense control": Figures(score=0.93, sd=0.02),
        "test": Figures(),
    },
    dataset="towns.csv",
    target="label",
    rows={"train": 1200, "validation": 200},
    fingerprint="abc",
    versions={"torch": "2.13.0"},
)


def card(origin: Origin = Origin.REPRODUCED, text: str = "A") -> Card:
    figures = NetworkFigures(origin, 3, 5, 1, 0.955, 25, 0.95, 26.0)
    interface = Interface(
        shape=(2,),
        dtype="float64",
        output=PROBABILITIES,
        classes=("no", text),
        columns=(Column("age"), Column("town", (text, "B"), "index")),
        target="label",
    )
    return Card(
        file="towns.onnx",
        interface=interface,
        provenance=PROVENANCE,
        figures=figures,
        left={"3": "1 dead unit stays"},
        parameters=1220,
        multiply_adds=1190,
        license="MIT",
    )


def test_the_card_has_every_figure_and_says_what_was_not_measured() -> None:
    lines = card().markdown().splitlines()
    assert lines[0] == "# towns, trial 3: 25 of 256 neurons alive"
    for line in (
        "1,220 parameters, 1,190 multiply-adds for one row.",
        "Not cut: 3: 1 dead unit stays.",
        "| this network | 0.9550 | not measured | 25 |",
        "| found | 0.9500 | not measured | 26 |",
        "| confirmed | 0.9412 | 0.0100 | 27.4 |",
        "| dense control | 0.9300 | 0.0200 | not measured |",
        "| test | not measured | not measured | not measured |",
        "- `penalty_form`: mean",
        "- column `age`: a number",
        "- column `town`: 0 = A, 1 = B",
        "`towns.csv`, classification; rows: 1,200 train, 200 validation.",
        "    net = hebbevo.network('towns.db', trial=3, epoch=5, replicate=1)",
        "    hebbevo.export(net, 'towns.onnx')",
    ):
        assert line in lines
    assert any(line.endswith("License: MIT.") for line in lines)


def test_the_card_says_where_the_weights_come_from() -> None:
    words = {
        Origin.KEPT: "The weights are those of the search.",
        Origin.REPRODUCED: "reached exactly what is recorded",
        Origin.RETRAINED: "The figures of this network are its own; the others are of other weights.",
    }
    for origin, text in words.items():
        assert text in card(origin).markdown()
        assert json.loads(card(origin).facts())["network"]["origin"] == origin.value


def test_the_facts_are_plain_json_with_null_for_what_was_not_measured() -> None:
    facts = json.loads(card().facts(), parse_constant=lambda text: math.inf)
    assert facts["figures"]["test"] == {"score": None, "sd": None, "survivors": None}
    assert (facts["network"]["replicate"], facts["genome"]["learning_rate"]) == (1, 0.01)
    assert facts["not_cut"] == {"3": "1 dead unit stays"}


def test_control_characters_of_names_are_shown_and_not_obeyed() -> None:
    text = card(text="red\x1b[31m\nline").markdown()
    assert "\x1b" not in text
    assert r"0 = red\x1b[31m\nline" in text
