"""How trials are packed into cohorts."""

import numpy as np

from hebbevo.outer.packing import NARROWEST, cohorts_per_generation, default_width, genomes_per_cohort, pack
from hebbevo.study.ledger import Record


def test_cohorts_are_cut_in_order_and_the_replicates_of_a_trial_stay_together() -> None:
    records = tuple(Record(number, {"a": number / 10}, None) for number in range(7))
    cohorts = pack(records, replicates=2, cohort_width=6)
    assert [cohort.trials for cohort in cohorts] == [(0, 1, 2), (3, 4, 5), (6,)]
    first = [(candidate.genome["a"], candidate.replicate) for candidate in cohorts[0].candidates]
    assert first == [(0.0, 0), (0.0, 1), (0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]


def wall_time(population: int, replicates: int, width: int, workers: int) -> float:
    """Time of a generation where a cohort of n nets takes 1.7 + n (measured), in rounds of ``workers``."""
    size = genomes_per_cohort(replicates, width)
    cohorts = [min(size, population - start) for start in range(0, population, size)]
    return sum(1.7 + replicates * cohorts[first] for first in range(0, len(cohorts), workers))


def test_the_default_width_keeps_the_workers_busy_and_cohorts_neither_too_wide_nor_too_narrow() -> None:
    draw = np.random.default_rng(0)
    for _ in range(2000):
        population, replicates, widest, workers = (int(draw.integers(1, n)) for n in (300, 6, 40, 100))
        population += 3
        width = default_width(population, replicates, widest, workers)
        cohorts = cohorts_per_generation(population, replicates, width)
        case = population, replicates, widest, workers, width
        assert width % replicates == 0, case
        assert width <= max(widest, replicates), case
        fewest = cohorts_per_generation(population, replicates, widest)
        assert cohorts == fewest or width >= NARROWEST, case
        packed_for_one = default_width(population, replicates, widest, 1)
        assert wall_time(*case[:2], width, workers) <= 1.1 * wall_time(*case[:2], packed_for_one, workers), (
            case
        )


def test_two_cores_share_a_generation_that_would_fit_into_one_cohort() -> None:
    assert default_width(population=20, replicates=1, widest=32, workers=1) == 20
    assert default_width(population=20, replicates=1, widest=32, workers=2) == 10
    assert [default_width(50, 1, 32, cores) for cores in (1, 2, 4, 8, 16, 64)] == [25, 25, 13, 7, 5, 5]
