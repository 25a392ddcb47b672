"""Code that a space file names, found and called; a failure is one line."""

import hashlib
import os
import signal
import sys
import textwrap
import time

import pytest

from hebbevo import user_code
from hebbevo.errors import DataError, SearchInterrupted, UsageError, UserCodeError
from hebbevo.user_code import is_reference, resolve, source_digest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules of the user's to the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file may change within the second

    def to(name, code):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return to


def complaint(text):
    with pytest.raises(UsageError) as caught:
        resolve(text)
    message = str(caught.value)
    assert message.startswith(f"{text}: ")
    assert "\n" not in message
    return message.removeprefix(f"{text}: ")


def failure(text):
    with pytest.raises(UsageError) as caught, user_code.calling(text):
        resolve(text)()
    message = str(caught.value)
    assert message.startswith(f"{text}: ")
    assert "\n" not in message
    return message.removeprefix(f"{text}: ")


@pytest.mark.parametrize("text", ["m:f", "pkg.sub.m:f", "m:Data.load", "_m1:_f", "größe:maß"])
def test_a_module_a_colon_and_a_name_are_a_reference(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "m", "m:", ":f", "digits", "a.b", "data/x.csv", "C:\\x.npz", "C:/x.npz", "m:f()", "m:f:g"),
        *("m: f", ".m:f", "m.:f", "m..n:f", "m:f.", "1m:f", "m:1f", "m-n:f", "m:f\n", "https://host/x.csv"),
    ],
)
def test_no_path_or_other_text_is_a_reference(text):
    assert not is_reference(text)


def test_modules_in_the_working_directory_are_found(write, tmp_path):
    write("mine/__init__.py", "")
    write("mine/data.py", "class Data:\n    def load(): return 7\ndef load(): return 8\n")
    assert str(tmp_path) not in sys.path
    assert resolve("mine.data:Data.load")() == 7
    assert resolve("mine.data:load")() == 8
    assert sys.path.count(str(tmp_path)) == 1


def test_they_replace_installed_packages_and_none_of_pythons_own_modules(write, tmp_path, monkeypatch):
    """An installed package may be an older copy of the user's code."""
    installed = tmp_path / "site-packages"
    write("site-packages/mine_twice.py", "def load(): return 'installed'\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    write("mine_twice.py", "def load(): return 'here'\n")
    write("wave.py", "raise ImportError('not the module of Python')\n")
    write("mine.py", "import wave\ndef load(): return wave.__file__\n")
    sys.modules.pop("wave", None)
    assert resolve("mine_twice:load")() == "here"
    assert resolve("mine:load")() != str(tmp_path / "wave.py")


def test_a_missing_module_is_found_once_it_exists(write, tmp_path):
    looked = tmp_path.stat()
    for _ in range(2):
        assert complaint("mine:load") == "no module named mine; run hebbevo in the folder that holds it"
        assert complaint("mine.sub:load").startswith("no module named mine; run")
    write("mine.py", "def load(): return 7\n")
    os.utime(tmp_path, ns=(looked.st_atime_ns, looked.st_mtime_ns))  # as on a file system with coarse times
    assert resolve("mine:load")() == 7


def test_a_module_missing_from_its_package_is_reported_with_the_place_of_the_package(write, tmp_path):
    write("mine/__init__.py", "")
    expected = f"no module named mine.data; the package mine is {tmp_path / 'mine'}"
    assert complaint("mine.data:load") == expected
    write("flat.py", "")
    assert complaint("flat.x:f") == f"no module named flat.x; the package flat is {tmp_path / 'flat.py'}"
    assert complaint("sys.x:f") == "no module named sys.x; the package sys is Python itself"


def test_a_module_that_the_users_module_misses_is_reported_with_the_line_that_imports_it(write):
    path = write("mine.py", "import math\nimport absent\n")
    expected = f"importing mine raised ModuleNotFoundError: No module named 'absent' ({path}:2)"
    assert complaint("mine:load") == expected
    package = write("pack/__init__.py", "import pack.absent\n")
    expected = f"importing pack raised ModuleNotFoundError: No module named 'pack.absent' ({package}:1)"
    assert (
        complaint("pack:load") == complaint("pack.absent:load").replace("pack.absent r", "pack r") == expected
    )


@pytest.mark.parametrize(
    ("code", "reported", "line"),
    [
        ("\nraise ValueError('too\\nlong')", "ValueError: too", 2),
        ("\n\nraise RuntimeError", "RuntimeError", 3),
        ("def f(:\n    pass", "SyntaxError: invalid syntax", 1),
        ("if True:\npass", "IndentationError: expected an indented block after 'if' statement on line 1", 2),
        ("import json\njson.loads('{')", "JSONDecodeError: Expecting property name enclosed in", 2),
        ("import sys\nsys.exit(3)", "SystemExit: 3", 2),
        ("exec('1 +')", "SyntaxError: invalid syntax", 1),
        ("from math import nothing", "ImportError: cannot import name 'nothing' from 'math'", 1),
    ],
)
def test_a_module_that_fails_is_reported_with_the_users_own_line_each_time(write, code, reported, line):
    path = write("mine.py", code)
    first = complaint("mine:load")
    assert first.startswith(f"importing mine raised {reported}")
    assert first.endswith(f" ({path}:{line})")
    assert complaint("mine:load") == first
    assert "mine" not in sys.modules


def test_a_failure_in_a_module_that_the_users_module_imports_is_reported_with_that_file(write):
    helper = write("helper.py", "\n1 / 0\n")
    write("mine.py", "import helper\n")
    expected = f"importing mine raised ZeroDivisionError: division by zero ({helper}:2)"
    assert complaint("mine:load") == expected


def test_a_package_that_fails_half_way_fails_in_the_same_way_again(write):
    write("mine/good.py", "")
    write("mine/__init__.py", "import mine.good\nraise ValueError(mine.good.__name__)\n")
    assert complaint("mine:load") == complaint("mine:load")
    assert "ValueError: mine.good" in complaint("mine.good:load")
    assert not [name for name in sys.modules if name.startswith("mine")]


def test_for_a_name_that_does_not_exist_the_closest_public_one_is_suggested(write):
    path = write("mine.py", "def load(): pass\ndef _lod(): pass\nclass Data:\n    def images(): pass\n")
    assert complaint("mine:lod") == f"there is no lod in {path}; did you mean load?"
    assert complaint("mine:Data.image") == f"there is no Data.image in {path}; did you mean images?"
    assert complaint("mine:xyz") == f"there is no xyz in {path}; define it, or name another"


def test_a_module_that_fails_to_look_a_name_up_is_reported(write):
    path = write("mine.py", "def __getattr__(name):\n    raise ImportError(name)\n")
    assert complaint("mine:load") == f"raised ImportError: load ({path}:2)"


def test_a_value_that_cannot_be_called_is_refused_with_its_type(write):
    write("mine.py", "load = 3\nnothing = None\n")
    assert complaint("mine:load") == "cannot be called, it is of type int; name a function or a class"
    assert complaint("mine:nothing").startswith("cannot be called, it is of type NoneType;")


def test_ctrl_c_while_importing_is_no_error_of_the_module(write):
    write("mine.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        resolve("mine:load")


def test_the_digest_is_of_the_source_file_and_does_not_run_it(write):
    for code in ("raise ValueError", "raise TypeError"):
        path = write("mine.py", code)
        assert source_digest("mine:load") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "mine" not in sys.modules
    package = write("pack/__init__.py", "x = 1")
    assert source_digest("pack:f") == hashlib.sha256(package.read_bytes()).hexdigest()
    write("pack/sub.py", "def f(): pass")
    assert source_digest("pack.sub:f") == hashlib.sha256(b"def f(): pass").hexdigest()


def test_a_script_that_runs_has_the_digest_of_its_file(write, monkeypatch):
    path = write("script.py", "def load(): pass")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    assert source_digest("__main__:load") == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("text", ["sys:exit", "absent:f", "absent.m:f", "space:f"])
def test_modules_without_a_source_file_have_a_digest_that_says_so(write, tmp_path, text):
    (tmp_path / "space").mkdir()  # a package without __init__.py
    assert source_digest(text) == user_code.NO_SOURCE


CALLED = """\
import json
import sys
import torch
from helper import parse

def plain():
    raise ValueError("bad\\nvery bad")

def silent():
    assert False

def through_a_library():
    json.loads("{")

def called_back():
    class Net(torch.nn.Module):
        def forward(self, x):
            return x.nope
    Net()(torch.zeros(1))

def in_a_helper():
    parse()

def generated():
    exec("1 / 0")

def leaves():
    sys.exit("no data")

def stops():
    next(iter([]))

def greedy(x):
    pass
"""


@pytest.mark.parametrize(
    ("name", "reported", "file", "line"),
    [
        ("plain", "raised ValueError: bad", "mine.py", 7),
        ("silent", "raised AssertionError", "mine.py", 10),
        ("through_a_library", "raised JSONDecodeError: Expecting property name", "mine.py", 13),
        ("called_back", "raised AttributeError: 'Tensor' object has no attribute 'nope'", "mine.py", 18),
        ("in_a_helper", "raised KeyError: 'k'", "helper.py", 3),
        ("generated", "raised ZeroDivisionError: division by zero", "mine.py", 25),
        ("leaves", "raised SystemExit: no data", "mine.py", 28),
        ("stops", "raised StopIteration", "mine.py", 31),
    ],
)
def test_an_exception_is_reported_with_the_innermost_line_of_the_users_code(
    write, tmp_path, name, reported, file, line
):
    write("helper.py", "\ndef parse():\n    {}['k']\n")
    write("mine.py", CALLED)
    message = failure(f"mine:{name}")
    assert message.startswith(reported)
    assert message.endswith(f" ({tmp_path / file}:{line})")


def test_a_failure_in_an_installed_package_of_the_users_has_a_place_too(write):
    path = write("site-packages/mine.py", "def load():\n    1 / 0\n")
    other = write("other.py", "import mine\ndef load():\n    mine.load()\n")
    sys.path.insert(0, str(path.parent))
    assert failure("mine:load").endswith(f"({path}:2)")
    assert failure("other:load").endswith(f"({other}:3)")


def test_an_error_of_hebbevo_keeps_its_message_after_the_reference():
    with pytest.raises(UsageError, match=r"^mine:load: mnist: is missing$"), user_code.calling("mine:load"):
        raise DataError("mnist: is missing")


@pytest.mark.parametrize("error", [SearchInterrupted, KeyboardInterrupt])
def test_an_interruption_is_not_reported_as_an_error_of_the_function(error):
    with pytest.raises(error, match=r"^stopped$"), user_code.calling("mine:load"):
        raise error("stopped")


def test_ctrl_c_is_another_interruption_than_one_that_the_code_raises(write):
    write("mine.py", "import os, signal\ndef raises(): raise KeyboardInterrupt\n")
    before = signal.getsignal(signal.SIGINT)
    with user_code.interruptible():
        with pytest.raises(UserCodeError, match=r"^mine:raises: raised KeyboardInterrupt"):
            user_code.called("mine:raises")()
        with pytest.raises(KeyboardInterrupt), user_code.calling("mine:raises"):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
    assert signal.getsignal(signal.SIGINT) is before


# --- permission ---


def test_code_needs_a_permission_and_no_code_needs_none() -> None:
    asked: list[list[str]] = []
    assert user_code.is_allowed(["m:f"], True)
    assert not user_code.is_allowed(["m:f"], False)
    assert user_code.is_allowed([], False)
    assert user_code.is_allowed([], asked.append)
    assert not user_code.is_allowed(["m:f"], asked.append)  # which gives None
    assert asked == [["m:f"]]


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_what_is_no_permission_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"is no permission; write True or False, or a function"):
        user_code.is_allowed([], wrong)
