"""The goal against literal sums, and the words for it in a space file."""

import math
from pathlib import Path

import pytest

from hebbevo.errors import SpaceError
from hebbevo.objectives.goal import Goal
from hebbevo.spec import Spec, difference, override, read, spec_from_json

SPACE = """\
version: 1
name: aimed
task: {dataset: digits}
genome:
  learning_rate: {low: 1e-3, high: 1e-2}
"""


@pytest.fixture
def spec(tmp_path: Path):
    """The spec of a space file with these lines at its end."""

    def make(lines: str = "") -> Spec:
        path = tmp_path / "space.yaml"
        path.write_text(SPACE + lines)
        return read(path)

    return make


# --- the goal ---


@pytest.mark.parametrize(
    ("goal", "losses"),
    [
        (Goal(), (-0.75, 12.0)),
        (Goal(objectives=("accuracy",)), (-0.75,)),
        (Goal(objectives=("survivors",)), (12.0,)),
        (Goal(weights={"accuracy": 2.0, "survivors": -0.25}), (-(2.0 * 0.75 - 0.25 * 12.0),)),
        (Goal(weights={"survivors": 1.0}), (-12.0,)),
    ],
)
def test_the_losses_are_what_is_to_be_minimised(goal: Goal, losses: tuple[float, ...]) -> None:
    assert goal.losses((0.75, 12.0)) == losses
    assert goal.dimension == len(losses)


@pytest.mark.parametrize(
    ("constraints", "violations"),
    [
        ({}, {}),
        ({"survivors": (None, 12.0)}, {"survivors": 0.0}),
        ({"survivors": (12.0, 12.0), "accuracy": (0.75, 0.75)}, {"survivors": 0.0, "accuracy": 0.0}),
        ({"survivors": (None, 8.0)}, {"survivors": (12 - 8) / 8}),
        ({"survivors": (16.0, None)}, {"survivors": (16 - 12) / 16}),
        ({"survivors": (None, 48.0)}, {"survivors": -(48 - 12) / 48}),
        ({"survivors": (8.0, 48.0)}, {"survivors": -(12 - 8) / 8}),  # the nearer bound
        ({"survivors": (None, 0.5)}, {"survivors": 12 - 0.5}),  # parts of one neuron, never of less
        ({"survivors": (None, 0.0)}, {"survivors": 12.0}),
        ({"accuracy": (1.0, None), "survivors": (None, 6.0)}, {"accuracy": 0.25, "survivors": 1.0}),
        ({"accuracy": (0.1, 0.5)}, {"accuracy": 0.25}),
    ],
)
def test_a_violation_is_the_distance_beyond_the_bound_relative_to_it(
    constraints: dict, violations: dict
) -> None:
    goal = Goal(constraints=constraints)
    assert goal.violations((0.75, 12.0)) == pytest.approx(violations)
    assert goal.violation((0.75, 12.0)) == pytest.approx(max(violations.values(), default=0.0))


def test_a_violation_is_finite_however_small_the_bound() -> None:
    assert math.isfinite(Goal(constraints={"survivors": (None, 5e-324)}).violation((0.5, 1e5)))


@pytest.mark.parametrize(
    ("goal", "aim", "limits"),
    [
        (Goal(), "highest accuracy, fewest survivors", ""),
        (Goal(("survivors",), {}, {"accuracy": (0.9, None)}), "fewest survivors", "accuracy at least 0.9"),
        (
            Goal(weights={"accuracy": 1, "survivors": -0.001}, constraints={"survivors": (2, 40)}),
            "highest 1 x accuracy - 0.001 x survivors",
            "survivors from 2 to 40",
        ),
        (
            Goal(weights={"accuracy": -1.0}, constraints={"survivors": (None, 4), "accuracy": (None, 0.5)}),
            "highest - 1 x accuracy",
            "survivors at most 4, accuracy at most 0.5",
        ),
    ],
)
def test_a_goal_says_what_it_is(goal: Goal, aim: str, limits: str) -> None:
    assert (goal.aim, goal.limits) == (aim, limits)


def test_further_counts_are_losses_terms_and_limits_like_survivors() -> None:
    values, further = (0.75, 12.0, 800.0), ("connections",)
    assert Goal(("accuracy", "connections"), further=further).losses(values) == (-0.75, 800.0)
    weighted = Goal(weights={"accuracy": 1.0, "connections": -0.001}, further=further)
    assert weighted.losses(values) == (-(0.75 - 0.8),)
    assert weighted.traded == ("accuracy", "survivors")
    limited = Goal(constraints={"connections": (None, 400.0)}, further=further)
    assert limited.violations(values) == {"connections": 1.0}
    assert limited.traded == ("accuracy", "survivors")
    assert limited.limits == "connections at most 400"


# --- its words in a space file ---


@pytest.mark.parametrize(
    ("lines", "goal"),
    [
        ("", Goal()),
        ("objectives: {survivors: minimize, accuracy: maximize}", Goal()),
        ("objectives: {survivors: minimize}", Goal(objectives=("survivors",))),
        ("objectives: {accuracy: maximize}", Goal(objectives=("accuracy",))),
        (
            "objectives: {weighted: {accuracy: 1.0, survivors: -1e-3}}",
            Goal(weights={"accuracy": 1.0, "survivors": -0.001}),
        ),
        ("objectives: {weighted: {survivors: -1}}", Goal(weights={"survivors": -1})),
        ("objectives: {accuracy: maximize, neurons: minimize}", Goal(survivors="neurons")),
        ("objectives: {connections: minimize}", Goal(objectives=("survivors",), survivors="connections")),
        (
            "objectives: {connections: minimize, neurons: minimize, accuracy: maximize}",
            Goal(("accuracy", "survivors", "connections"), further=("connections",), survivors="neurons"),
        ),
        (
            "objectives: {survivors: minimize, parameters: minimize}",
            Goal(("survivors", "parameters"), further=("parameters",)),
        ),
        (
            "objectives: {weighted: {accuracy: 1, survivors: -0.1, connections: -1e-3}}",
            Goal(weights={"accuracy": 1, "survivors": -0.1, "connections": -0.001}, further=("connections",)),
        ),
        ("constraints: {neurons: {max: 9}}", Goal(constraints={"survivors": (None, 9)}, survivors="neurons")),
        (
            "constraints: {connections: {max: 900}}\nobjectives: {survivors: minimize, parameters: minimize}",
            Goal(
                ("survivors", "parameters"),
                constraints={"connections": (None, 900)},
                further=("parameters", "connections"),
            ),
        ),
        ("constraints: {}", Goal()),
        ("constraints: {survivors: {max: 40}}", Goal(constraints={"survivors": (None, 40)})),
        (
            "constraints: {survivors: {min: 0, max: 0}, accuracy: {min: 0.9, max: 1}}",
            Goal(constraints={"survivors": (0, 0), "accuracy": (0.9, 1)}),
        ),
    ],
)
def test_a_space_file_gives_its_goal_and_keeps_it_in_the_study(spec, lines: str, goal: Goal) -> None:
    made = spec(lines)
    assert made.goal == goal
    assert spec_from_json(made.to_json()).goal == goal


def test_a_study_from_before_there_were_goals_has_the_default_one(spec) -> None:
    recorded = spec().to_json()
    del recorded["objectives"], recorded["constraints"], recorded["search"]["timeout"]
    opened = spec_from_json(recorded)
    assert opened.goal == Goal()
    assert difference(opened, spec()) == []


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("objectives:", "objectives: has no value"),
        ("objectives: both", "objectives: 'both' is not a mapping"),
        ("objectives: {}", "objectives: there is none; write accuracy: maximize"),
        (
            "objectives: {survivors: maximize}",
            "objectives.survivors: 'maximize' is not known; write minimize",
        ),
        ("objectives: {accuracy: 1}", "objectives.accuracy: 1 is not known; write maximize"),
        ("objectives: {accuracy:}", "objectives.accuracy: has no value; write maximize"),
        ("objectives: {units: minimize}", "objectives.units: 'units' is not a key here; write one of"),
        ("objectives: {neurons: maximize}", "objectives.neurons: 'maximize' is not known; write minimize"),
        ("objectives: {survivors: minimize, neurons: minimize}", "objectives.neurons: survivors are neurons"),
        (
            "objectives: {accuracy: maximize, neurons: minimize, "
            "connections: minimize, parameters: minimize}",
            "objectives: there are 4; write at most three",
        ),
        ("objectives: {weighted: 1}", "objectives.weighted: 1 is not a mapping"),
        ("objectives: {weighted: {}}", "objectives.weighted: no measure has a weight other than 0"),
        ("objectives: {weighted: {accuracy: 0, survivors: 0.0}}", "no measure has a weight other than 0"),
        ("objectives: {weighted: {accuracy: .nan}}", "objectives.weighted.accuracy: nan is not a finite"),
        ("objectives: {weighted: {accuracy: high}}", "objectives.weighted.accuracy: 'high' is not a finite"),
        ("objectives: {weighted: {acuracy: 1}}", "objectives.weighted.acuracy: 'acuracy' is not a key here"),
        ("objectives: {weighted: {accuracy: 1}, survivors: minimize}", "objectives.weighted: is the only"),
        ("constraints:", "constraints: has no value"),
        ("constraints: [40]", "constraints: [40] is not a mapping"),
        ("constraints: {units: {max: 40}}", "constraints.units: 'units' is not a key here"),
        ("constraints: {connections: {max: -1}}", "constraints.connections.max: -1 is out of reach; write"),
        ("constraints: {survivors: 40}", "constraints.survivors: 40 is not a mapping; write {min"),
        ("constraints: {survivors:}", "constraints.survivors: has no value"),
        ("constraints: {survivors: {}}", "constraints.survivors: there is no bound; write min, max"),
        ("constraints: {survivors: {mx: 40}}", "constraints.survivors.mx: 'mx' is not a key here; write max"),
        ("constraints: {survivors: {max:}}", "constraints.survivors.max: has no value"),
        ("constraints: {survivors: {max: forty}}", "constraints.survivors.max: 'forty' is not a finite"),
        ("constraints: {survivors: {max: true}}", "constraints.survivors.max: true is not a finite number"),
        ("constraints: {survivors: {max: .inf}}", "constraints.survivors.max: inf is not a finite number"),
        ("constraints: {survivors: {max: .nan}}", "constraints.survivors.max: nan is not a finite number"),
        ("constraints: {survivors: {max: -1}}", "constraints.survivors.max: -1 is out of reach; write a"),
        (
            "constraints: {accuracy: {min: 90}}",
            "constraints.accuracy.min: 90 is out of reach; write a number",
        ),
        ("constraints: {accuracy: {min: 0.9, max: 0.8}}", "constraints.accuracy.max: 0.8 is below min"),
        ("search: {timeout: 0}", "search.timeout: 0 is not a length of time; write seconds"),
        ("search: {timeout: ten}", "search.timeout: 'ten' is not a length of time"),
        ("search: {timeout: .nan}", "search.timeout: nan is not a length of time"),
        ("search: {timeout: true}", "search.timeout: true is not a length of time"),
    ],
)
def test_what_is_no_goal_is_one_line_that_says_where(spec, lines: str, complaint: str) -> None:
    with pytest.raises(SpaceError) as caught:
        spec(lines)
    assert complaint in str(caught.value)
    assert ":6: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("constraints: {survivors: {max: 40}}", ["constraints.survivors.max: nothing in the study, 40 here"]),
        ("objectives: {accuracy: maximize}", ["objectives.survivors: 'minimize' in the study, nothing here"]),
        ("search: {timeout: 10m}", []),
    ],
)
def test_a_changed_goal_is_a_difference_and_a_changed_timeout_is_none(spec, lines: str, found: list) -> None:
    assert difference(spec(), spec(lines)) == found


def test_a_timeout_is_kept_in_seconds(spec) -> None:
    made = spec("search: {timeout: 1h30m}")
    assert made.search.timeout == 5400.0
    assert spec_from_json(made.to_json()) == made
    assert spec().search.timeout is None
    assert override(spec(), timeout="90s").search.timeout == 90.0
