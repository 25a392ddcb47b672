from hebbevo.report.sections.failures import failures
from tests.report.conftest import Document


def test_the_failures_are_listed_with_their_reasons(small):
    text = Document(failures(small).body).text
    failed = small.record.frame.query("state == 'failed'")["trial"]
    assert "1 network collapsed" in text
    assert "2 trials failed" in text
    assert all(f"{trial}the loss became NaN in epoch 3" in text for trial in failed)


def test_without_failures_there_is_no_section_on_them(small):
    frame = small.record.frame[~small.record.frame["collapsed"] & (small.record.frame["state"] == "complete")]
    assert failures(small.but(frame=frame)) is None
