"""What people read is plain: short sentences, and tensors and processes are things, not persons.

Run as a program on files or folders, it lists what is not: ``python tests/test_plain_words.py hebbevo/nn``.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_WORDS = 35
FEWEST_WORDS = 4  # of a text in the code that is read as prose, such as a message
PERSONS = re.compile(
    r"\b(who|whom|whoever|nobody|nobody's|somebody|somebody's|anybody|everybody"
    r"|told|tells of|listens?|listeners?|listening|heard|hears|mortal)\b",
    re.IGNORECASE,
)
NOT_PROSE = re.compile(r"``.*?``|`[^`]*`|\$[^$]*\$|https?://\S+", re.DOTALL)
ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|et al|etc|vs|eq|eqs|fig|sec|no|doi|approx|cf)\.", re.IGNORECASE)

Passage = tuple[int, str]
"""The line at which a passage begins, and its text."""


def of_markdown(text: str) -> Iterator[Passage]:
    """The paragraphs and list items of a page, without code, tables and headings."""
    lines: list[str] = []
    start, fenced = 1, False
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        fence = line.lstrip().startswith(("```", "~~~", ":::"))
        fenced ^= fence and not line.lstrip().startswith(":::")
        item = re.match(r"\s*([-*+]|\d+\.)\s+", line)
        if fence or fenced or not line.strip() or line.startswith(("#", "|")) or item:
            if lines:
                yield start, " ".join(lines)
            lines = []
        if not (fence or fenced or not line.strip() or line.startswith(("#", "|"))):
            if not lines:
                start = number
            lines.append(line[item.end() :] if item else line)


def of_python(source: str) -> Iterator[Passage]:
    """The docstrings, comments and texts of a module."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node) is not None
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings:
                for start, text in of_docstring(node.value):
                    yield node.lineno + start - 1, text
            elif len(node.value.split()) >= FEWEST_WORDS:
                yield node.lineno, node.value
    comment: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if comment and token.start[0] != last + 1:
                yield start, " ".join(comment)
                comment = []
            if not comment:
                start = token.start[0]
            last = token.start[0]
            comment.append(token.string.lstrip("# "))
    if comment:
        yield start, " ".join(comment)


def of_yaml(text: str) -> Iterator[Passage]:
    """The comments of a space file, one a line."""
    for number, line in enumerate(text.splitlines(), start=1):
        _, mark, comment = line.partition("# ")
        if mark:
            yield number, comment


def of_docstring(text: str) -> Iterator[Passage]:
    """The paragraphs of a docstring, its entries of arguments apart; examples are code."""
    lines: list[str] = []
    start, code = 1, False
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        bare = line.strip()
        code = bare.startswith(">>>") or (code and bool(bare))
        entry = re.match(
            r"(\s*)(\*{0,2}\w+|- .*|\w+: .*|Args:|Attributes:|Raises:|Returns:|Yields:)(:|$)", line
        )
        if not bare or code or entry:
            if lines:
                yield start, " ".join(lines)
            lines = []
        if bare and not code:
            if not lines:
                start = number
            lines.append(bare)


def complaints(passage: str) -> Iterator[str]:
    """What is not plain in a passage."""
    prose = ABBREVIATIONS.sub(r"\1", NOT_PROSE.sub("X", passage))
    for word in PERSONS.finditer(prose):
        yield f"{word.group()!r} in: {' '.join(passage.split())[:120]}"
    for sentence in re.split(r"(?<=[.!?:;])\s+", prose):
        words = [word for word in sentence.split() if re.search(r"\w", word)]
        if len(words) > MOST_WORDS:
            yield f"{len(words)} words in: {' '.join(words)[:120]}"


def found(path: Path) -> list[str]:
    """Every complaint about a file."""
    text = path.read_text()
    return [
        f"{path}:{line}: {what}"
        for line, passage in READERS[path.suffix](text)
        for what in complaints(passage)
    ]


READERS: dict[str, Callable[[str], Iterator[Passage]]] = {
    ".md": of_markdown,
    ".py": of_python,
    ".yaml": of_yaml,
}


def files(*places: Path) -> list[Path]:
    """The pages and modules at some places."""
    return sorted(
        file
        for place in places
        for file in ([place] if place.is_file() else place.rglob("*"))
        if file.suffix in READERS and "_build" not in file.parts
    )


READ = files(
    *(ROOT / place for place in ("hebbevo", "docs", "examples", "benchmarks", "search_spaces", "studies")),
    *ROOT.glob("*.md"),
)


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_people_read_is_plain(path: Path) -> None:
    assert not found(path)


@pytest.mark.parametrize(
    ("passage", "count"),
    [
        ("A worker that is lost is replaced.", 0),
        ("Nobody listens, and whoever waits is told.", 4),
        (" ".join(["word"] * 36) + ".", 1),
        (" ".join(["word"] * 35) + ".", 0),
        ("`who` is a name.", 0),
    ],
)
def test_a_passage_that_is_not_plain_is_found(passage: str, count: int) -> None:
    assert len(list(complaints(passage))) == count


if __name__ == "__main__":
    violations = [what for file in files(*map(Path, sys.argv[1:])) for what in found(file)]
    print("\n".join(violations))
    sys.exit(bool(violations))
