"""The figures of a study, as plotly has them."""

from __future__ import annotations

from hebbevo.study.view import Study


class Plots:
    """The figures of one study; ``study.plot.front()`` shows one in a notebook."""

    def __init__(self, study: Study) -> None:
        self._study = study
