"""What ``help()`` and completion show of a function that passes its options on."""

import inspect
from typing import TypedDict, Unpack

import pytest

import hebbevo
from hebbevo.execution.config import ExecutorConfig
from hebbevo.signatures import argument_meanings, names_options
from hebbevo.spec import OPTIONS


class Options(TypedDict, total=False):
    pace: int | None
    gpus: "float | str | None"


@names_options(Options, {"pace": "Steps in a second.", "gpus": "GPUs to use; by default all."})
def run(goal: str, *, fast: bool = False, **options: Unpack[Options]) -> dict:
    """Run.

    Args:
        goal: where to.
        fast: whether to hurry.
        options: how.

    Raises:
        ValueError: never.
    """
    return {"goal": goal, "fast": fast, **options}


def test_the_options_are_in_the_signature_and_in_the_docstring() -> None:
    options = "pace: 'int | None' = None, gpus: 'float | str | None' = None"
    assert str(inspect.signature(run)) == f"(goal: str, *, fast: bool = False, {options}) -> dict"
    assert inspect.getdoc(run).splitlines()[5:9] == [
        "    options: how.",
        "    pace: steps in a second.",
        "    gpus: GPUs to use; by default all.",
        "",
    ]
    assert run("home", pace=3) == {"goal": "home", "fast": False, "pace": 3}


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [("pase", "did you mean pace?"), ("xyz", "see help(run)"), ("fats", "did you mean fast?")],
)
def test_an_option_that_is_not_known_is_refused_with_the_closest(wrong: str, advice: str) -> None:
    with pytest.raises(TypeError) as caught:
        run("home", **{wrong: 1})
    assert str(caught.value) == f"run() has no argument {wrong!r}; {advice}"


def test_meanings_are_read_from_a_docstring() -> None:
    assert argument_meanings(run)["gpus"] == "GPUs to use; by default all."
    assert argument_meanings(test_meanings_are_read_from_a_docstring) == {}


@pytest.mark.parametrize("name", [*OPTIONS, *argument_meanings(ExecutorConfig)])
def test_help_on_a_search_has_every_option_with_its_meaning(name: str) -> None:
    assert name in inspect.signature(hebbevo.search).parameters
    assert f"\n    {name}: " in inspect.getdoc(hebbevo.search)


@pytest.mark.parametrize("name", argument_meanings(ExecutorConfig))
def test_help_on_a_continuation_has_every_option_with_its_meaning(name: str) -> None:
    assert name in inspect.signature(hebbevo.resume).parameters
    assert f"\n    {name}: " in inspect.getdoc(hebbevo.resume)
