"""The section on what each layer has learned, beside random weights."""

from __future__ import annotations

from hebbevo.report.charts import embedded
from hebbevo.report.figures.decoding import decoded_trials, decoding_figure
from hebbevo.report.formatting import score
from hebbevo.report.section import Section
from hebbevo.study.view import Study


def decoding(study: Study) -> Section | None:
    """Make the section: a chart and a table of the readouts of layers."""
    trials = decoded_trials(study)
    if not trials:
        return None
    table = study.decoding()
    layers = sorted({*table["layer"].tolist()})
    rows = []
    for trial in trials:
        own = table[table["trial"] == trial].set_index("layer")
        for weights in ("learned", "random"):
            values = [score(study, own[weights].get(layer, float("nan"))) for layer in layers]
            rows.append([f"trial {trial}, {weights}", *values])
    return Section.of(
        "What each layer learned",
        "decoding",
        drawn=len(trials),
        score=study.score,
        header=["weights", *(f"layer {layer}" for layer in layers)],
        rows=rows,
        chart=embedded(decoding_figure(study), "decoding"),
    )
