"""The chart of the front: the score against survivors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from hebbevo.report.charts import BLUE, GREEN, GREY, ORANGE, PURPLE, SHADE, axis, log_range, styled
from hebbevo.report.constraints import LABEL, outside, survivors_axis
from hebbevo.report.formatting import BEFORE_END, count, hover, percent, score, title
from hebbevo.report.networks import CONFIRMED, MEMBER, TRIAL, keys
from hebbevo.report.queries import complete_trials, is_before_end, is_on_front, outline, rows, whole
from hebbevo.report.score_axis import score_axis
from hebbevo.report.thinning import visible
from hebbevo.study.scale import Scale, scale
from hebbevo.study.score_scale import ScoreScale, score_scale
from hebbevo.study.view import RANDOM, Study

HEIGHT = 560


def front_figure(study: Study) -> go.Figure:
    """Draw all trials and, in front of them, the front as found, as confirmed, and its dense controls.

    Args:
        study: a study; without a confirmation only what was found is drawn.

    Returns:
        A figure of plotly. Points that are networks of the study have ``TRIAL:EPOCH`` as ``customdata``.

    Examples:
        >>> import hebbevo
        >>> study = hebbevo.search("stamina", study="drawn.db", population=4, trials=4, epochs=1, workers=1)
        >>> [trace.name for trace in front_figure(study).data if trace.name]
        ['other trials', 'front']
    """
    trials, points = complete_trials(study), study.front()
    members = None if study.confirmation is None else study.confirmation.members()
    x, y = survivors_axis(study), _score_scale(study, members)
    before_end = is_before_end(study, points)
    opacity = 1.0 if members is None else 0.45  # what is confirmed stands out
    name = "front" if members is None else "front as found"
    traces = [
        _others(study, dominated(study), x, y),
        _line(outline(points), x, y, opacity),
        _marks(study, points[~before_end], x, y, opacity, name=name),
        *(
            [_marks(study, points[before_end], x, y, opacity, name=BEFORE_END, symbol="diamond-open")]
            if before_end.any()
            else []
        ),
    ]
    if members is not None:
        traces += _confirmed(study, members, x, y)
    elif RANDOM in points:
        found = points.assign(random_sd=math.nan)
        traces.append(_random(study, found, "survivors", x, y, "random weights"))
    figure = go.Figure([*traces, _upper_axis_holder()])
    _shade(figure, study, x, y)
    figure.update_layout(
        xaxis=axis(x, f"surviving {study.count}"),
        xaxis2=_share_axis(study, x),
        yaxis=score_axis(study, y, study.score),
    )
    figure.add_hline(
        y=float(y.place(study.chance)),
        line={"dash": "dot", "width": 1.5, "color": "#808690"},
        name=f"chance, {score(study, study.chance)}",
        showlegend=True,
    )
    return styled(figure, HEIGHT, top=84) if not trials.empty or not points.empty else styled(figure, HEIGHT)


def dominated(study: Study) -> pd.DataFrame:
    """The complete trials that are not on the front, as far as they are visible beside one another."""
    trials = complete_trials(study)
    others = trials[~is_on_front(trials, study.front())]
    x, y = survivors_axis(study), _score_scale(study, None)
    across = x.place(others["survivors"])
    return others[visible(np.log(across) if x.log else across, y.place(others["accuracy"]))]


def _score_scale(study: Study, members: pd.DataFrame | None) -> ScoreScale:
    if members is None:
        return score_scale(study, study.front().get(RANDOM, ()))
    shown = ["confirmed_accuracy", "test_accuracy", "control_accuracy", "best_of_accuracy", RANDOM]
    return score_scale(study, members[shown].to_numpy(float).ravel())


def _confirmed(study: Study, members: pd.DataFrame, x: Scale, y: ScoreScale) -> list[go.Scatter]:
    """The members trained again, and their controls at the same numbers of survivors.

    Members have their scores on test rows, if there are any, since controls are measured on these.
    """
    confirmation = study.confirmation
    assert confirmation is not None
    kind, which = ("test", "test") if confirmation.has_test else ("confirmed", "validation")
    own = members[members[f"{kind}_accuracy"].notna()]
    controls = own[own["control_accuracy"].notna()]
    decoded = own[own[RANDOM].notna()]
    again, dense = own[f"{kind}_accuracy"], controls["control_accuracy"]
    on_rows = f"measured on {confirmation.verdict_rows}"
    return [
        go.Scatter(
            x=x.place(own["confirmed_survivors"]).tolist(),
            y=y.place(again).tolist(),
            error_x=_ends(_sideways(own, x), ORANGE),
            error_y=_ends(_bars(again, own[f"{kind}_sd"], y), ORANGE),
            mode="markers",
            name=f"trained again, {which} rows, mean ± sd",
            marker={"size": 9, "color": ORANGE, "symbol": "square"},
            customdata=keys(own),
            hovertext=[_confirmed_hover(study, row) for row in rows(own)],
            hoverinfo="text",
            meta=CONFIRMED,
        ),
        go.Scatter(
            x=x.place(controls["confirmed_survivors"]).tolist(),
            y=y.place(dense).tolist(),
            error_y=_ends(_bars(dense, controls["control_sd"], y), GREEN),
            mode="markers",
            name=f"dense, {study.equal_size}, {which} rows, mean ± sd",
            marker={"size": 9, "color": GREEN, "symbol": "triangle-up"},
            hovertext=[
                f"<b>dense network with {study.equal_size} as trial {row['trial']}</b><br>"
                f"{study.score} {score(study, row['control_accuracy'])}, {on_rows}"
                for row in rows(controls)
            ],
            hoverinfo="text",
        ),
        *(
            []
            if decoded.empty
            else [
                _random(
                    study, decoded, "confirmed_survivors", x, y, f"random weights, {which} rows, mean ± sd"
                )
            ]
        ),
    ]


def _random(
    study: Study, table: pd.DataFrame, survivors: str, x: Scale, y: ScoreScale, name: str
) -> go.Scatter:
    """What readouts of the last layer reach with random weights, at the survivors of each network."""
    means = table[RANDOM]
    return go.Scatter(
        x=x.place(table[survivors]).tolist(),
        y=y.place(means).tolist(),
        error_y=_ends(_bars(means, table["random_sd"], y), PURPLE),
        mode="markers",
        name=name,
        marker={"size": 9, "color": PURPLE, "symbol": "x-thin-open", "line": {"width": 2}},
        hovertext=[
            f"<b>random weights in trial {trial}</b><br>{study.score} {score(study, value)}, a linear readout"
            for trial, value in zip(table["trial"], means, strict=True)
        ],
        hoverinfo="text",
    )


def _bars(means: pd.Series[float], sd: pd.Series[float], y: ScoreScale) -> NDArray[np.float64]:
    """Lengths (2, n) of the bars of one standard deviation."""
    known = sd.fillna(0.0)
    return y.bars(means, means - known, (means + known).clip(upper=1.0))


def _sideways(members: pd.DataFrame, x: Scale) -> NDArray[np.float64]:
    """Lengths (2, n) of the bars of survivors; none where the interval is not known."""
    middle = members["confirmed_survivors"]
    low, high = (members[f"survivors_{end}"].fillna(middle).clip(lower=x.low) for end in ("low", "high"))
    return np.maximum(np.stack([x.place(middle) - x.place(low), x.place(high) - x.place(middle)]), 0.0)


def _confirmed_hover(study: Study, row: dict[str, Any]) -> str:
    has_test = not math.isnan(row["test_accuracy"])
    return "<br>".join(
        [
            f"<b>trial {row['trial']}, trained again</b>",
            *([f"{study.score} {score(study, row['test_accuracy'])} on test rows"] if has_test else []),
            f"{study.score} {score(study, row['confirmed_accuracy'])} on validation rows",
            f"found {score(study, row['found_accuracy'])}",
            f"survivors {count(row['confirmed_survivors'])}, found {count(row['found_survivors'])}",
        ]
    )


def _ends(bars: NDArray[np.float64], colour: str) -> dict[str, Any]:
    """The settings of error bars of these lengths (2, n), down and up or left and right."""
    down, up = bars.tolist()
    return {"array": up, "arrayminus": down, "thickness": 1.2, "width": 3, "color": colour}


def _others(study: Study, others: pd.DataFrame, x: Scale, y: ScoreScale) -> go.Scatter:
    return go.Scatter(
        x=x.place(others["survivors"]).tolist(),
        y=y.place(others["accuracy"]).tolist(),
        mode="markers",
        name="other trials",
        marker={"color": GREY, "size": 6},
        customdata=keys(others),
        hovertext=[hover(study, row) for row in rows(others)],
        hoverinfo="text",
        meta=TRIAL,
    )


def _line(points: pd.DataFrame, x: Scale, y: ScoreScale, opacity: float) -> go.Scatter:
    return go.Scatter(
        x=x.place(points["survivors"]).tolist(),
        y=y.place(points["accuracy"]).tolist(),
        mode="lines",
        line={"shape": "hv", "width": 2, "color": BLUE},
        opacity=opacity,
        hoverinfo="skip",
        showlegend=False,
    )


def _marks(
    study: Study,
    points: pd.DataFrame,
    x: Scale,
    y: ScoreScale,
    opacity: float,
    *,
    name: str,
    symbol: str = "circle",
) -> go.Scatter:
    accuracy, sd = points["accuracy"], points["accuracy_sd"]
    return go.Scatter(
        x=x.place(points["survivors"]).tolist(),
        y=y.place(accuracy).tolist(),
        error_x=_ends(x.bars(points["survivors"], points["survivors_sd"]), BLUE),
        error_y=_ends(y.bars(accuracy, accuracy - sd, (accuracy + sd).clip(upper=1.0)), BLUE),
        mode="markers",
        name=name,
        marker={"size": 9, "symbol": symbol, **_colours(study, points, has_bar=symbol == "circle")},
        opacity=opacity,
        customdata=keys(points),
        hovertext=[hover(study, row) for row in rows(points)],
        hoverinfo="text",
        meta=MEMBER,
    )


def _colours(study: Study, points: pd.DataFrame, *, has_bar: bool) -> dict[str, Any]:
    """The colours of points on the front: with a third objective darker where there is less of it."""
    further = study.goal.traded[2:]
    if not further or points.empty:
        return {"color": BLUE}
    every = scale([*study.front()[further[0]], study.largest[1]])
    places = every.place(points[further[0]])
    bar: dict[str, Any] = {"title": {"text": title(further[0]), "side": "right"}, "thickness": 12}
    shown, low, high = places, every.low, every.high
    if every.log:
        ticks = every.ticks()
        shown, (low, high) = np.log(places), np.log([low, high]).tolist()
        bar["tickvals"] = [math.log(place) for place, _ in ticks]
        bar["ticktext"] = [text for _, text in ticks]
    return {
        "color": shown.tolist(),
        "colorscale": "Viridis",
        "cmin": low,
        "cmax": high,
        "line": {"width": 1, "color": BLUE},
        **({"colorbar": bar} if has_bar else {}),
    }


def _shade(figure: go.Figure, study: Study, x: Scale, y: ScoreScale) -> None:
    look = {"fillcolor": SHADE, "line_width": 0, "layer": "below", "name": LABEL, "legendgroup": LABEL}
    for left, right in outside(study, "survivors", x):
        figure.add_vrect(x0=left, x1=right, **look)
    for low, high in outside(study, "accuracy", y):
        figure.add_hrect(y0=low, y1=high, **look)
    if figure.layout.shapes:
        figure.layout.shapes[0].showlegend = True


def _upper_axis_holder() -> go.Scatter:
    # Plotly draws no axis without a trace
    return go.Scatter(x=[None], y=[None], xaxis="x2", showlegend=False)


def _share_axis(study: Study, x: Scale) -> dict[str, Any]:
    ticks = x.shares(study.neurons)
    kind = log_range(x) if x.log else {"range": [x.low, x.high]}
    return {
        **kind,
        "title": {"text": f"% of {whole(study)}"},
        "tickvals": [place for place, _ in ticks],
        "ticktext": [percent(share).removesuffix(" %").removesuffix(".0") for _, share in ticks],
        "overlaying": "x",
        "matches": "x",
        "side": "top",
        "showgrid": False,
    }
