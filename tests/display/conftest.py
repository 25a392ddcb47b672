"""A stand-in for IPython: a module with what a kernel offers to code that displays something."""

import sys
from types import ModuleType, SimpleNamespace

import pytest


class Outputs:
    """What a notebook shows, by the id of the output: the HTML and the plain text, one after the other."""

    def __init__(self):
        self.html, self.plain = [], []

    def display(self, shown, *, display_id):
        assert display_id is True
        self.update(shown)
        return SimpleNamespace(update=self.update)

    def update(self, shown):
        self.html.append(shown._repr_html_())
        self.plain.append(repr(shown))


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel, to `hebbevo`; gives its outputs."""
    outputs = Outputs()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.display = outputs.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return outputs


@pytest.fixture
def ipython_on_a_terminal(notebook):
    """IPython without a kernel."""
    sys.modules["IPython"].get_ipython = SimpleNamespace
    return notebook
