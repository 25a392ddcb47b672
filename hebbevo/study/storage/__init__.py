"""Where a study is stored: a file, or a database that a team shares.

See docs/explanation/decisions/0006-databases.md.
"""

from hebbevo.study.storage.database import StudyDatabase, studies_in
from hebbevo.study.storage.file import StudyFile
from hebbevo.study.storage.finding import find_place, find_study, the_only
from hebbevo.study.storage.folder import studies_of
from hebbevo.study.storage.store import Store

__all__ = [
    "Store",
    "StudyDatabase",
    "StudyFile",
    "find_place",
    "find_study",
    "studies_in",
    "studies_of",
    "the_only",
]
