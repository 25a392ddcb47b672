"""Which build is loaded, and what is found out about it."""

from __future__ import annotations

import pytest

from hebbevo import native
from hebbevo.errors import UsageError
from hebbevo.native import loading
from tests.training.native_cohorts import needs_native


@needs_native
def test_the_widest_build_that_the_processor_has_is_loaded():
    widths = native.usable_widths()
    assert widths[0] == 4
    assert native.library().width == max(widths)


@needs_native
def test_a_build_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(loading, "VERSION", native.VERSION + 1)
    with pytest.raises(UsageError, match="of another version of hebbevo; compile it again"):
        native.Library(4)


def test_without_a_build_a_line_says_what_is_slower_and_how_to_get_it(monkeypatch):
    monkeypatch.setattr(loading, "is_built", lambda: False)
    assert native.usable_widths() == []
    with pytest.raises(UsageError, match=r"a C compiler.* pytorch, which takes about three times"):
        native.library.__wrapped__()
