"""The section on what each layer has learned."""

import pytest

from hebbevo.report.figures.decoding import MOST, decoding_figure
from hebbevo.report.sections.decoding import decoding
from tests.report.conftest import Document, charts


@pytest.fixture(scope="module")
def decoded(small):
    """A study of whose complete trials the readouts were measured, the first of them with three layers."""
    complete = small.trials().query("state == 'complete'").trial.tolist()
    layers = {trial: ((0.5, 0.75), (0.4, 0.6)) for trial in complete}
    return small.but(decoding={**layers, complete[0]: ((0.5, 0.75, 0.8), (0.4, 0.6, 0.3))})


def best(study):
    trials = (
        study.trials().query("state == 'complete'").sort_values("accuracy", ascending=False, kind="stable")
    )
    return trials.trial.tolist()[:MOST]


def test_each_layer_is_drawn_with_learned_and_random_weights_for_the_most_accurate_trials(decoded) -> None:
    figure = decoding_figure(decoded)
    names = [f"trial {trial}, {weights}" for trial in best(decoded) for weights in ("learned", "random")]
    assert [trace.name for trace in figure.data] == names
    for trace in figure.data:
        own = decoded.decoding().query(f"trial == {trace.name.split()[1].strip(',')}")
        assert list(trace.y) == own[trace.name.split()[-1]].tolist()
        assert list(trace.x) == own.layer.tolist()


def test_the_table_never_has_a_learned_row_without_its_random_row(decoded) -> None:
    body = decoding(decoded).body
    document = Document(body)
    assert len(charts(body)) == 1
    for trial in best(decoded):
        assert f"trial {trial}, learned" in document.text
        assert f"trial {trial}, random" in document.text


def test_a_study_without_such_readouts_has_no_section(small) -> None:
    assert decoding(small) is None
    assert len(decoding_figure(small).data) == 0
