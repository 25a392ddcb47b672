import numpy as np

from hebbevo.objectives.goal import Goal
from hebbevo.report.sections.progress import progress
from tests.report.conftest import Document


def test_the_progress_names_the_trial_that_brought_the_hypervolume(small):
    frame = small.record.frame.iloc[:4].assign(
        state=["complete", "failed", "complete", "complete"],
        accuracy=[0.5, np.nan, 1.0, 0.2],
        survivors=[128.0, np.nan, 128.0, 250.0],
    )
    text = Document(progress(small.but(frame=frame, chance=0.0)).body).text
    assert "Trial 2 brought it within 1 % of its last value, 0.5000." in text


def test_the_progress_counts_only_feasible_trials(small):
    frame = small.record.frame.iloc[:3].assign(
        state="complete", accuracy=[1.0, 0.5, 1.0], survivors=[20.0, 64.0, 128.0]
    )
    limits = Goal(constraints={"survivors": (50.0, None)})
    text = Document(progress(small.but(frame=frame, goal=limits, chance=0.0)).body).text
    # half the height over three quarters of the width, and the rest over a half
    assert "Trial 2 brought it within 1 % of its last value, 0.6250." in text


def test_the_progress_counts_a_trials_earlier_epochs_with_it(with_earlier_states):
    text = Document(progress(with_earlier_states).body).text
    area = 0.5 * (256 - 60) + 0.475 * (256 - 128) + 0.005 * (256 - 200)
    assert f"Trial 1 brought it within 1 % of its last value, {area / 256:.4f}." in text
