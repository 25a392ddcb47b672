"""Signatures that name the options which a function passes on, for ``help()`` and for completion."""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar, get_type_hints

from hebbevo.messages import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


def names_options(options: type, meanings: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function that takes ``**options`` show each of them, and refuse others with a suggestion.

    Args:
        options: the ``TypedDict`` of the options, each of which may be left out.
        meanings: a sentence or more on each option; they follow the other arguments in the docstring.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        given = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        named = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_short(hint))
            for name, hint in get_type_hints(options).items()
        ]
        known = [each.name for each in (*given, *named)]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known:
                    advice = did_you_mean(name, known, f"see help({function.__name__})")
                    raise TypeError(f"{function.__name__}() has no argument {name!r}; {advice}")
            return function(*args, **kwargs)

        call.__signature__ = signature.replace(parameters=[*given, *named])  # type: ignore[attr-defined]
        if function.__doc__:
            entries = "".join(f"\n{_entry(each.name, meanings[each.name])}" for each in named)
            before, title, rest = inspect.cleandoc(function.__doc__).partition("\nArgs:\n")
            arguments, gap, after = rest.partition("\n\n")
            call.__doc__ = before + title + arguments + entries + gap + after
        return call

    return decorate


def argument_meanings(function: Callable[..., object]) -> dict[str, str]:
    """What a docstring says about each argument, by name.

    >>> argument_meanings(names_options)["options"]
    'the ``TypedDict`` of the options, each of which may be left out.'
    """
    _, _, arguments = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")
    section = arguments.partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _entry(name: str, meaning: str) -> str:
    """One argument in the section of a docstring."""
    first = meaning[:1].lower() if meaning[1:2].islower() else meaning[:1]  # not of GPUs
    text = f"{name}: {first}{' '.join(meaning[1:].split()).removesuffix('.')}."
    return textwrap.fill(text, 106, initial_indent=" " * 4, subsequent_indent=" " * 8)


def _short(hint: object) -> str:
    """A type in words, without the modules of its parts."""
    text = hint.__name__ if isinstance(hint, type) else str(hint)
    return re.sub(r"\b(\w+\.)+(?=\w)", "", text)
