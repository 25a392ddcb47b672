from hebbevo.report.sections.failures import failures
from tests.report.conftest import Document, failed_at


def test_failures_are_counted_by_reason_with_one_example(small):
    frame = small.record.frame.copy()
    first, second = frame.index[frame["state"] == "failed"]
    frame.loc[second, "failure"] = "the loss became NaN in epoch 12"  # the same but for its number
    frame = failed_at(frame, frame.index[frame["state"] == "complete"][:1], "out of memory")
    text = Document(failures(small.but(frame=frame)).body).text
    assert "1 network collapsed" in text and "3 trials failed and have no score" in text
    assert f"2trial {frame['trial'][first]}the loss became NaN in epoch 3 1trial" in text
    assert text.count("NaN") == 1 and text.count("out of memory") == 1


def test_many_kinds_of_failures_are_cut_and_counted(study):
    reasons = [f"reason {chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(40)]
    frame = failed_at(study.record.frame, range(40), "")
    frame.loc[range(40), "failure"] = reasons
    text = Document(failures(study.but(frame=frame)).body).text
    assert "the 30 most frequent of 41 are here" in text


def test_without_failures_there_is_no_section_on_them(small):
    frame = small.record.frame[~small.record.frame["collapsed"] & (small.record.frame["state"] == "complete")]
    assert failures(small.but(frame=frame)) is None
