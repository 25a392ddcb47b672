"""The trials of a study that its sampler did not choose by results: its initial design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo.samplers import SAMPLERS

if TYPE_CHECKING:
    import pandas as pd


def initial_design(trials: pd.DataFrame, sampler: str, starts: int) -> pd.DataFrame:
    """Select the trials from which something can be said about the whole space.

    A sampler gathers its later trials where results are good, and there every value looks good. Genomes that
    the user gave were chosen too, and a copy measures nothing anew.

    Args:
        trials: all trials, as `hebbevo.Study.trials` gives them.
        sampler: name of the sampler.
        starts: number of genomes that the search began with.
    """
    sizes = trials.groupby("generation", sort=True).size()
    first = trials.iloc[: SAMPLERS[sampler].kind.not_chosen(sizes)].iloc[starts:]
    return first[(first["state"] != "running") & first["copy_of"].isna()]
