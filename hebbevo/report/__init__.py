"""The report of a study: one page that opens offline, two tables and a picture."""

from hebbevo.report.writer import write

__all__ = ["write"]
