"""Executors: where cohorts are trained."""

from hebbevo.executors.local import Batch, LocalExecutor

__all__ = ["Batch", "LocalExecutor"]
