"""A process of hebbevo's own does not spend its time on searching the objects of libraries for garbage."""

import gc
import json
import subprocess
import sys

import hebbevo
from hebbevo.garbage import OBJECTS

COMMAND = """
import atexit, gc, json, sys
found = [0, 0, 0]
def count(phase, about):
    found[about["generation"]] += phase == "start"
def show():
    print(json.dumps(found))
from hebbevo.cli import main
gc.callbacks.append(count)
atexit.register(show)
sys.argv = ["hebbevo", "search", "--space", "stamina", "--trials", "4", "--epochs", "1", "--quiet"]
main()
"""


def test_a_search_makes_no_full_collection_for_the_sake_of_imported_libraries(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    young, _, full = json.loads(done.stdout.splitlines()[-1])
    assert 0 < young < 200, "Python's own threshold makes several hundred"
    assert full == 0


def test_a_search_in_a_program_of_the_user_searches_rarely_and_leaves_the_threshold_as_it_was(tmp_path):
    before, seen = gc.get_threshold(), []
    assert before[0] < OBJECTS
    hebbevo.search(
        "stamina.yaml",
        study=tmp_path / "study.db",
        trials=2,
        epochs=1,
        workers=1,
        watch=lambda _: seen.append(gc.get_threshold()[0]),
    )
    assert set(seen) == {OBJECTS}
    assert gc.get_threshold() == before
