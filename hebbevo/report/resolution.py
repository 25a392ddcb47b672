"""The validation rows of a study, and the resolution that they give its score."""

from __future__ import annotations

from hebbevo.study.view import Study


def validation_rows(study: Study) -> str:
    """Say on how many rows scores are measured, and what one row is worth; empty if it was not recorded.

    >>> import hebbevo
    >>> study = hebbevo.search("stamina", study="rows.db", population=4, trials=4, epochs=1, workers=1)
    >>> validation_rows(study)
    '269 validation rows: one row is 0.37 points'
    """
    rows = study.rows.get("validation")
    if not rows:
        return ""
    if not _is_share_of_rows(study):
        return f"{rows:,} validation rows"
    replicates = study.settings["search"]["replicates"]
    of_each = " of one replicate" if replicates > 1 else ""
    return f"{rows:,} validation rows: one row{of_each} is {100 / rows:.2g} points"


def _is_share_of_rows(study: Study) -> bool:
    """Whether the score is the share of rows that are right, of which each counts alike."""
    return study.score == "accuracy" and study.settings["task"].get("score") in (None, "accuracy")
