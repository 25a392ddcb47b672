"""Studies compared: hypervolumes, attainment surfaces, and whether differences are more than noise."""

from hebbevo.study.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
