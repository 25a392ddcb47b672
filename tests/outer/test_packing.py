"""How trials are packed into cohorts."""

from hebbevo.outer.packing import pack
from hebbevo.study.ledger import Record


def test_cohorts_are_cut_in_order_and_the_replicates_of_a_trial_stay_together() -> None:
    records = tuple(Record(number, {"a": number / 10}, None) for number in range(7))
    cohorts = pack(records, replicates=2, cohort_width=6)
    assert [cohort.trials for cohort in cohorts] == [(0, 1, 2), (3, 4, 5), (6,)]
    first = [(candidate.genome["a"], candidate.replicate) for candidate in cohorts[0].candidates]
    assert first == [(0.0, 0), (0.0, 1), (0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
