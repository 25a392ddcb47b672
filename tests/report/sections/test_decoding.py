"""The section on what each layer has learned."""

from dataclasses import replace

import pytest

from hebbevo.report.figures import front_figure
from hebbevo.report.figures.decoding import MOST, decoding_figure
from hebbevo.report.picture import picture
from hebbevo.report.sections.decision import decision
from hebbevo.report.sections.decoding import decoding
from hebbevo.report.sections.front import front
from hebbevo.study.confirmation_record import Role
from hebbevo.study.score_scale import score_scale
from tests.report.conftest import Document, charts, confirmed


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


def test_the_front_is_drawn_and_listed_beside_random_weights(decoded) -> None:
    points = decoded.front()
    trace = {each.name: each for each in front_figure(decoded).data}["random weights"]
    place = score_scale(decoded, points.random_accuracy).place
    assert list(trace.x) == points.survivors.tolist()
    assert list(trace.y) == place(points.random_accuracy).tolist()
    text = Document(front(decoded).body).text
    for value in points.random_accuracy:
        assert f"{100 * value:.1f} %" in text
    assert picture(decoded) != picture(decoded.but(decoding={}))


def test_the_decision_in_confirmed_numbers_has_random_weights_where_they_were_measured(small) -> None:
    study = confirmed(small)
    [record] = study.record.confirmed
    trainings = {
        number: replace(each, decoding=(0.6, 0.7), random_decoding=(0.5, 0.4125))
        if each.role is Role.MEMBER
        else each
        for number, each in record.trainings.items()
    }
    decoded = study.but(confirmed=(replace(record, trainings=trainings),))
    for text, expected in ((decision(decoded).body, True), (decision(study).body, False)):
        document = Document(text).text
        assert ("random weights, test rows" in document) == expected
        assert ("41.2 ± 0.0" in document) == expected
    names = [each.name for each in front_figure(decoded).data]
    assert "random weights, test rows, mean ± sd" in names
    assert not any("random" in str(each.name) for each in front_figure(study).data)
    assert picture(decoded) != picture(study)
