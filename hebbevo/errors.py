"""The errors that hebbevo raises on purpose.

The tree below gives the exit code with which the command line ends after each.

.. code-block:: text

    HebbevoError               1
    ├── UsageError             2
    │   ├── SpaceError         2
    │   ├── UserCodeError      2
    │   ├── DataError          2
    │   └── StudyError         2
    │       └── StudyLost      2
    ├── WorkerError            1
    ├── ReplayMismatch         1
    └── SearchInterrupted    130
"""

from __future__ import annotations

from typing import Any


class HebbevoError(Exception):
    """Any error that hebbevo raises on purpose."""


class UsageError(HebbevoError):
    """The caller can correct the cause. The message is one line: where, what is wrong, what to do."""


class SpaceError(UsageError):
    """A search space, or its space file, cannot be used as it is."""


class UserCodeError(UsageError):
    """The user's own code raised an exception, or did not return what it should."""


class DataError(UsageError):
    """A data set is missing or cannot be learned from."""


class StudyError(UsageError):
    """A study is missing, is not a study of hebbevo, is in use, or was made with other settings."""


class StudyLost(StudyError):
    """The study under a search was deleted, replaced or damaged. What the search knows is in another file."""


class WorkerError(HebbevoError):
    """Workers cannot be started, or not with what the study needs. The study can be resumed later."""


class ReplayMismatch(HebbevoError):
    """The sampler, replayed from the record, proposes other genomes than the recorded ones.

    Most often the study was made with other versions of the libraries, and can be continued with those.
    """


class SearchInterrupted(HebbevoError):
    """The search was stopped by Ctrl-C. Finished trials are recorded, and the study can be resumed.

    Attributes:
        study: the `hebbevo.Study` as far as it got; ``None`` where a confirmation was stopped.
    """

    study: Any = None
