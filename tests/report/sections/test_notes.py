from hebbevo.report.sections.notes import notes
from tests.report.conftest import Document


def test_notes_are_listed_with_the_number_of_their_trials(small):
    frame = small.record.frame.copy()
    frame.loc[frame.index[:3], "notes"] = "trained alone: its <drop.p> is another than the other nets'"
    frame.loc[frame.index[2:4], "repeatable"] = False
    section = notes(small.but(frame=frame, alone="hardly two are alike"))
    text = Document(section.body).text
    assert section.title == "How the networks were measured"
    assert "alltrained one by one: hardly two are alike" in text
    assert "3trained alone: its <drop.p> is another" in text
    assert "2trained in a smaller cohort, or failed, because time or memory ran out" in text
