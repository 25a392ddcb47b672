"""The error tree.

HebbevoError
├── UsageError             something the caller can mend; the command line prints it and exits with 2
│   ├── SpaceError         a search space, or the file it stands in
│   ├── DataError          a data set
│   └── StudyError         a study
├── WorkerError            no worker can be started
├── ReplayMismatch         a recorded study that this installation cannot continue
└── SearchInterrupted      a search stopped by Ctrl-C, with everything done recorded
"""


class HebbevoError(Exception):
    """Any error that hebbevo raises on purpose."""


class UsageError(HebbevoError):
    """Something the caller can mend: one line that says where, what is wrong and what to do."""


class SpaceError(UsageError):
    """A search space, or the file it stands in, cannot be used as it is."""


class DataError(UsageError):
    """A data set is missing or cannot be learned from."""


class StudyError(UsageError):
    """A study is missing, is something else, is in use, or was made with other settings."""


class WorkerError(HebbevoError):
    """Workers cannot be started, or not where they would be needed; the study can be resumed."""


class ReplayMismatch(HebbevoError):
    """The sampler, replayed over the record, asks for other genomes than the recorded ones."""


class SearchInterrupted(HebbevoError):
    """A search stopped by Ctrl-C; what was finished is recorded, and the study can be resumed."""
