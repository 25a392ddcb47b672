import pytest

from hebbevo.objectives.goal import Goal
from hebbevo.report.overview import overview
from tests.report.conftest import Document, confirmed


class Table(Document):
    """The texts of the cells, in their order."""

    def __init__(self, html):
        self.cells = []
        super().__init__(html)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        super().handle_data(data)
        if self.open[-1:] in (["th"], ["td"]):
            self.cells[-1] += data


def shown(study) -> dict[str, str]:
    """The entries of the table."""
    cells = Table(overview(study)).cells
    return dict(zip(cells[::2], cells[1::2], strict=True))


def test_the_ends_of_the_front_stand_for_it(study) -> None:
    front = study.front()
    entries = shown(study)
    assert list(entries) == ["study", "trials", "front", "most accurate", "smallest", "confirmed"]
    assert entries["study"] == "studies/stamina.db"
    assert entries["trials"] == "500 of 500, 5 failed"
    assert entries["front"] == f"{len(front)} networks, hypervolume {study.hypervolume():.4f}"
    for name, row in (("most accurate", front.iloc[-1]), ("smallest", front.iloc[0])):
        assert f"accuracy {100 * row.accuracy:.1f}" in entries[name]
        assert f"of 256 neurons: trial {row.trial}" in entries[name]
    assert entries["confirmed"] == "no: these are the best of noisy scores"


def test_once_confirmed_only_confirmed_numbers_stand_there(study) -> None:
    known = confirmed(study)
    entries, found = shown(known), known.confirmation
    front = found.members().query("on_front")
    assert list(entries) == ["study", "trials", "front", "most accurate", "smallest", "confirmed", "verdict"]
    assert entries["front"] == f"{len(front)} networks, hypervolume {found.hypervolume:.4f}"
    for name, row in (("most accurate", front.iloc[-1]), ("smallest", front.iloc[0])):
        assert f"{100 * row.confirmed_accuracy:.1f} ± {100 * row.confirmed_sd:.1f} %" in entries[name]
        assert f"trial {row.trial}" in entries[name]
    assert entries["verdict"] == found.sentence
    assert f"{study.hypervolume():.4f}" not in overview(known)
    assert "no: these" in overview(confirmed(study, is_complete=False))


def test_of_one_objective_there_is_a_best(study) -> None:
    single = study.but(goal=Goal(objectives=("accuracy",)))
    best = single.best()
    assert f"trial {best.trial} ({single.goal.aim})" in shown(single)["best"]


def test_a_study_without_results_has_a_table_too(empty, all_failed) -> None:
    assert shown(empty)["trials"] == "0 of 500"
    assert shown(all_failed)["trials"] == "12 of 500, 12 failed"
    assert "smallest" not in shown(empty) | shown(all_failed)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "\x1b[2J\u202e"])
def test_hostile_names_are_text(small, hostile: str) -> None:
    page = overview(small.but(name=hostile, store=hostile))
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page


def test_it_has_no_colours_of_its_own(study) -> None:
    styles = overview(study).replace("color: inherit", "")
    assert "color" not in styles and "background" not in styles
