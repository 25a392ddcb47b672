"""Searches whose report no test looks at."""

import pytest


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, which takes longer than a short search."""
    monkeypatch.setattr("hebbevo.report.write", lambda study, folder: [])
