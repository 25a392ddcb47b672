"""The digests that a study records are those of the code that runs, whatever is edited in between."""

import hashlib
import importlib
import os
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import hebbevo
from hebbevo import user_code, user_modules
from hebbevo.errors import UsageError, WorkerError
from hebbevo.execution import ProcessExecutor, SerialExecutor, WorkerSetup
from hebbevo.networks import UserNetwork
from hebbevo.study.ledger import Ledger
from tests.execution.conftest import RECIPE, cohort, run_cohorts, two_classes

SPACE = """\
version: 1
name: own
task:    {{dataset: {data}, epochs: 1, batch_size: 32{task}}}
network: {{module: "edited_net:build"}}
search:  {{sampler: random, population: 4, trials: 4, cohort_width: 1, seed: 3}}
genome:  {{learning_rate: {{low: 1e-3, high: 1e-2, log: true}}}}
"""
NET = """\
from torch import nn
{imports}

def build(input_shape, num_classes):
    {inside}
    return nn.Sequential(nn.Linear(input_shape[0], {width}), nn.ReLU(), nn.Linear({width}, num_classes))

def loss(outputs, labels):
    return nn.functional.cross_entropy(outputs, labels)

def score(outputs, labels):
    return {score}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files of the user's to the working directory."""
    monkeypatch.chdir(tmp_path)

    def to(name, code):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return to


def net(imports="", inside="", width="8", score="(outputs.argmax(1) == labels).double().mean()"):
    return NET.format(imports=imports, inside=inside, width=width, score=score)


def neurons(path):
    with Ledger.open(path) as ledger:
        records = [record for generation in ledger.generations() for record in generation.records]
    return [record.result.details.neurons for record in records]


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


IMPORTS = {
    "the module itself": ("", "", "edited_net.py"),
    "a helper": ("from edited_helper import WIDTH", "", "edited_helper.py"),
    "a helper of a helper": ("from edited_middle import WIDTH", "", "edited_helper.py"),
    "a helper in a package": ("from edited_pack.sub import WIDTH", "", "edited_pack/sub.py"),
    "a package around a helper": (
        "import edited_pack.sub as s\nWIDTH = s.TOP",
        "",
        "edited_pack/__init__.py",
    ),
    "a helper that is imported in a function": ("", "from edited_helper import WIDTH", "edited_helper.py"),
    "a helper by its name": (
        "import importlib\nWIDTH = importlib.import_module('edited_helper').WIDTH",
        "",
        "edited_helper.py",
    ),
    "a helper by a name that is computed": (
        "import importlib\nWIDTH = importlib.import_module('edited_' + 'helper').WIDTH",
        "",
        "edited_helper.py",
    ),
}


@pytest.mark.parametrize(
    ("imports", "workers"),
    [*((each, 1) for each in IMPORTS), ("the module itself", 2), ("a helper by a name that is computed", 2)],
)
def test_a_new_study_in_one_process_trains_the_edited_code(write, blobs, tmp_path, imports, workers):
    own = imports == "the module itself"
    above, inside, edited = IMPORTS[imports]
    space = write("space.yaml", SPACE.format(data=blobs, task=""))
    write("edited_middle.py", "from edited_helper import *\n")
    write("edited_helper.py", "WIDTH = 8\n")
    write("edited_pack/__init__.py", "TOP = 8\n")
    write("edited_pack/sub.py", "from . import TOP\nWIDTH = 8\n")
    write("edited_net.py", net(above, inside, "8" if own else "WIDTH"))
    # a width of the same length, so that the file keeps its size, and perhaps its date
    for width in (8, 9):
        code = (tmp_path / edited).read_text().replace("8", str(width))
        write(edited, code)
        study = tmp_path / f"{width}.db"
        hebbevo.search(space, study=study, workers=workers)
        assert neurons(study) == [width] * 4
        with Ledger.open(study) as ledger:
            name = edited.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            assert ledger.facts.modules[name] == digest(tmp_path / edited)
            assert ledger.facts.code["edited_net:build"] == digest(tmp_path / "edited_net.py")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_runs_the_code_of_the_folder_that_it_begins_in(write, blobs, tmp_path, monkeypatch, workers):
    """Two folders have modules of the same names, and one process searches in both, in turns."""
    space = write("space.yaml", SPACE.format(data=blobs, task=""))
    for width, folder in ((8, "one"), (9, "two")):
        write(f"{folder}/edited_helper.py", f"WIDTH = {width}\n")
        write(f"{folder}/edited_net.py", net("from edited_helper import WIDTH", "", "WIDTH"))
    for number, (width, folder) in enumerate([(8, "one"), (9, "two"), (8, "one")]):
        monkeypatch.chdir(tmp_path / folder)
        hebbevo.search(space, study=tmp_path / f"{number}.db", workers=workers)
        assert neurons(tmp_path / f"{number}.db") == [width] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_edited_scores_and_data_are_those_of_the_new_study(write, tmp_path, workers):
    data = (
        "import numpy as np\n\ndef load():\n    return np.arange(160.0).reshape(80, 2), np.arange(80) % 2{}\n"
    )
    task = ", loss: edited_score:loss, score: edited_score:score"
    space = write("space.yaml", SPACE.format(data="edited_data:load", task=task))
    write("edited_net.py", net())
    for number, score in enumerate(("0.25", "0.75")):
        write("edited_score.py", net(score=score))
        write("edited_data.py", data.format(f" + {number}"))
        study = hebbevo.search(space, study=tmp_path / f"{number}.db", workers=workers)
        assert study.trials().accuracy.tolist() == [float(score)] * 4
        with Ledger.open(study.path) as ledger:
            assert ledger.facts.classes == (number, number + 1)
            assert ledger.facts.modules["edited_score"] == digest("edited_score.py")
            assert ledger.facts.modules["edited_data"] == digest("edited_data.py")


def test_what_was_imported_before_and_is_unchanged_stays_the_same_object(write):
    write("edited_helper.py", "class Layer: pass\n")
    write("edited_other.py", "class Other: pass\n")
    write("edited_net.py", "import edited_helper, edited_other\ndef build(): return edited_helper.Layer\n")
    before = user_code.resolve("edited_net:build")
    other = sys.modules["edited_other"]
    user_code.refresh(["edited_net:build"])
    assert user_code.resolve("edited_net:build") is before
    write("edited_helper.py", "class Layer: size = 3\n")
    user_code.refresh(["edited_net:build"])
    assert user_code.resolve("edited_net:build")().size == 3
    assert sys.modules["edited_other"] is other


def test_a_module_that_this_process_imported_by_itself_is_loaded_anew_only_if_its_file_is_younger(
    write, monkeypatch
):
    others = [finder for finder in sys.meta_path if type(finder).__module__ != user_modules.__name__]
    monkeypatch.setattr(sys, "meta_path", others)
    path = write("edited_net.py", "def build(): return 1\n")
    sys.path.insert(0, str(path.parent))
    edited_net = importlib.import_module("edited_net")
    user_code.refresh(["edited_net:build"])
    assert user_code.resolve("edited_net:build")() == 1
    path.write_text("def build(): return 2\n")
    os.utime(path, ns=(0, 0))  # as a copy that keeps its date
    user_code.refresh(["edited_net:build"])
    assert user_code.resolve("edited_net:build")() == 2
    assert edited_net.build() == 1
    here = sys.modules[__name__]  # loaded by pytest; its file is older than the process
    user_code.refresh([f"{__name__}:net"])
    assert sys.modules[__name__] is here


def test_a_module_that_was_removed_is_missing_and_a_name_that_was_added_is_found(write, tmp_path):
    write("edited_net.py", "def build(): pass\n")
    user_code.resolve("edited_net:build")
    write("edited_net.py", "def build(): pass\ndef other(): return 3\n")
    user_code.refresh(["edited_net:other"])
    assert user_code.resolve("edited_net:other")() == 3
    (tmp_path / "edited_net.py").unlink()
    user_code.refresh(["edited_net:other"])
    with pytest.raises(UsageError, match="no module named edited_net"):
        user_code.resolve("edited_net:other")


def test_digests_are_of_all_modules_of_the_user_and_of_no_others(write):
    write("edited_pack/__init__.py", "")
    write("edited_pack/a.py", "import json, torch\nfrom . import b\nfrom .. import nothing\n")
    write("edited_pack/b.py", "def f():\n    import edited_helper\n")
    write("edited_helper.py", "import edited_pack.a, absent\n")
    found = user_code.source_digests(["edited_pack.a:f", "math:sqrt", "torch.nn:Linear", "absent:f"])
    assert [*found] == ["edited_helper", "edited_pack", "edited_pack.a", "edited_pack.b"]
    assert found["edited_pack.b"] == digest("edited_pack/b.py")
    assert not [name for name in sys.modules if name.startswith("edited_")]
    write("edited_helper.py", "broken(")
    assert [*user_code.source_digests(["edited_helper:f"])] == ["edited_helper"]


def setup_of(write, code):
    write("edited_net.py", code)
    user_code.resolve("edited_net:build")
    recipe = replace(RECIPE, network=UserNetwork("edited_net:build", (4,), 2), settings={})
    setup = WorkerSetup(recipe, two_classes(), "cpu", 1)
    return replace(setup, modules=user_code.source_digests(["edited_net:build"]))


def test_a_worker_that_would_load_other_code_than_the_search_is_refused_in_one_line(write):
    setup = setup_of(write, "from torch import nn\ndef build(): return nn.Linear(4, 2)\n")
    write("edited_net.py", "from torch import nn\ndef build(): return nn.Linear(4, 2, bias=False)\n")
    expected = (
        r"^no worker can be started: your code has changed since the search began \(edited_net\); put it"
    )
    with closing(ProcessExecutor(setup, workers=1)) as executor, pytest.raises(WorkerError, match=expected):
        [*run_cohorts(executor, [cohort("", 0)])]


def test_a_worker_that_cannot_import_the_code_is_refused_and_no_training_fails_for_it(write, monkeypatch):
    """As on a machine of a cluster that lacks a package."""
    setup = setup_of(write, "from torch import nn\ndef build(): return nn.Linear(4, 2)\n")
    monkeypatch.setitem(sys.modules, "made_here", sys.modules["edited_net"])
    setup = replace(setup, recipe=replace(setup.recipe, network=UserNetwork("made_here:build", (4,), 2)))
    expected = "^no worker can be started: a worker cannot import your code: made_here:build: no module named"
    with closing(ProcessExecutor(setup, workers=1)) as executor, pytest.raises(WorkerError, match=expected):
        [*run_cohorts(executor, [cohort("", 0)])]


LAZY = """\
import pathlib
from torch import nn

def build():
    pathlib.Path("edited_late.py").write_text("WIDTH = 9")
    from edited_late import WIDTH
    return nn.Sequential(nn.Linear(4, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
"""


@pytest.mark.parametrize("kind", [SerialExecutor, ProcessExecutor])
def test_code_that_is_loaded_late_and_was_edited_meanwhile_ends_the_search(write, kind):
    write("edited_late.py", "WIDTH = 8")
    setup = setup_of(write, LAZY)
    executor = SerialExecutor(setup) if kind is SerialExecutor else ProcessExecutor(setup, workers=1)
    expected = r"^your code has changed since the search began \(edited_late\)"
    with closing(executor), pytest.raises(WorkerError, match=expected):
        [*run_cohorts(executor, [cohort("", 0)])]


def test_workers_that_run_already_go_on_with_the_code_that_they_have_loaded(write):
    setup = setup_of(write, "from torch import nn\ndef build(): return nn.Linear(4, 2)\n")
    cohorts = [replace(cohort("", place), candidates=(replace(RATE, replicate=place),)) for place in (0, 1)]
    with closing(ProcessExecutor(setup, workers=1)) as executor:
        first = [*run_cohorts(executor, cohorts[:1])]
        write("edited_net.py", "raise ValueError\n")
        again = [*run_cohorts(executor, cohorts[1:])]
    assert [measured.failure for _, [measured] in first + again] == [None, None]


RATE = hebbevo.training.Candidate({"learning_rate": 0.01})


def test_a_study_whose_helper_has_changed_says_so_when_it_is_resumed(write, blobs, tmp_path):
    space = write("space.yaml", SPACE.format(data=blobs, task=""))
    write("edited_helper.py", "WIDTH = 8\n")
    write("edited_net.py", net("from edited_helper import WIDTH", "", "WIDTH"))
    study = hebbevo.search(space, study=tmp_path / "s.db", workers=1).path
    write("edited_helper.py", "WIDTH =  8\n")
    seen = []
    hebbevo.resume(study, trials=8, workers=1, allow_code=lambda _: True, watch=seen.append)
    expected = "the code of edited_helper has changed since the study began; results may not compare"
    assert expected in [progress.notice for progress in seen]


def test_the_digest_of_a_loading_stays_when_the_file_is_edited(write):
    path = write("edited_net.py", "def build(): return 1\n")
    first = digest(path)
    user_code.resolve("edited_net:build")
    write("edited_net.py", "def build(): return 2\n")
    assert user_code.source_digest("edited_net:build") == first
    assert user_modules.changed({"edited_net": digest(path)}) == ["edited_net"]
    assert user_modules.changed({"edited_net": first}) == []
