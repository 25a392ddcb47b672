"""What is found out before a search: which networks can be trained, and that the data stay as they are."""

import sys
import textwrap

import numpy as np
import pytest
import torch

import hebbevo
from hebbevo import data
from hebbevo.errors import UsageError
from hebbevo.outer import preflight
from hebbevo.spec import override, read

USER = """\
version: 1
name: own
task:    {{dataset: {data}, epochs: 2, batch_size: {batch_size}{task}}}
network: {{module: "{module}:build", settings: {{learning_rate: 0.1}}}}
search:  {{sampler: random, population: 6, trials: 6, seed: 3}}
genome:  {{{genome}}}
"""


@pytest.fixture
def own(tmp_path, blobs, monkeypatch):
    """Write a module of the user's, and a space file that names it."""
    monkeypatch.chdir(tmp_path)

    def write(code, module="own_net", genome="width: {choices: [4, 6, 8]}", task="", batch_size=32):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        path = tmp_path / f"{module}.yaml"
        values = {"data": blobs, "module": module, "genome": genome, "task": task, "batch_size": batch_size}
        path.write_text(USER.format(**values))
        return path

    return write


PLAIN = """\
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first, self.head = nn.Linear(6, width), nn.Linear(width, 3)

        def forward(self, x):
            return self.head(self.first(x / 16.0).relu())

    def build(width):
        return Net(width)

    def loss(outputs, labels):
        return F.cross_entropy(outputs, labels)

    def score(outputs, labels):
        return (outputs.argmax(1) == labels).double().mean()
"""
WRITING = """\
    from plain_net import Net, F

    class Writing(Net):
        def forward(self, x):
            return self.head(self.first(x.div_(16.0)).relu())

    def build(width):
        return Writing(width)

    def loss(outputs, labels):
        right = labels.clone()
        labels.zero_()
        return F.cross_entropy(outputs.mul_(1.0), right)

    def score(outputs, labels):
        right = outputs.argmax(1) == labels
        outputs.zero_(), labels.zero_()
        return right.double().mean()
"""


@pytest.mark.parametrize("task", ["", ", loss: own_net:loss, score: own_net:score"])
def test_code_of_the_user_that_writes_into_its_arguments_leaves_the_data_as_they_are(own, blobs, task):
    own(PLAIN, "plain_net")
    split, _ = preflight.prepare(read(own(WRITING, task=task)), "cpu", workers=1)
    untouched = data.split(data.load(str(blobs)), 3, 32)
    for part in ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"):
        assert np.array_equal(getattr(split, part), getattr(untouched, part)), part


@pytest.mark.parametrize("task", ["", ", loss: {}:loss, score: {}:score"])
def test_a_search_with_such_code_finds_what_one_with_code_that_makes_new_tensors_finds(own, tmp_path, task):
    plain = own(PLAIN, "plain_net", task=task.format("plain_net", "plain_net"))
    writing = own(WRITING, "writing_net", task=task.format("writing_net", "writing_net"))
    first, second = (hebbevo.search(path, study=path.with_suffix(".db")) for path in (writing, plain))
    assert first.trials().accuracy.tolist() == second.trials().accuracy.tolist()
    assert first.trials().accuracy.nunique() > 1


def test_a_list_that_the_builder_changes_is_its_own():
    settings = {"widths": [4, 5]}
    network = hebbevo.networks.UserNetwork(f"{__name__}:popping", (6,), 3)
    for _ in range(2):
        assert network.build(settings, seed=0).out_features == 5
    assert settings == {"widths": [4, 5]}


def popping(widths):
    return torch.nn.Linear(6, widths.pop())


HEADS = """\
    import torch
    from torch import nn

    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(7, 3)

        def forward(self, x):
            return self.layer(x)

    def build(width, heads):
        if width % heads:
            {refuse}
        return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
"""
REFUSALS = {
    "raise ValueError(f'{width} is not divisible by {heads}')": "raised ValueError: 12 is not divisible by 5",
    "return None": "gave NoneType; return an nn.Module",
    "return Wrong()": "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "raise SystemExit": "raised SystemExit",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt",
}


@pytest.mark.parametrize("refuse", REFUSALS)
def test_a_genome_without_a_network_is_a_failed_trial_and_a_notice_and_never_ends_the_search(
    own, tmp_path, refuse
):
    genome = "width: {choices: [10, 12]}, heads: {choices: [4, 5]}"
    seen = []
    space = own(HEADS.format(refuse=refuse), genome=genome)
    study = hebbevo.search(space, study=tmp_path / "s.db", trials=12, watch=seen.append)
    trials = study.trials()
    for _, trial in trials.iterrows():
        is_valid = trial["genome.width"] % trial["genome.heads"] == 0
        assert trial.state == ("complete" if is_valid else "failed")
    assert {*trials.state} == {"complete", "failed"}
    assert REFUSALS[refuse].partition("12 is")[0] in trials.failure[trials.state == "failed"].iloc[0]
    [notice] = {each.notice for each in seen if "recorded as failed" in each.notice}
    assert REFUSALS[refuse].partition("12 is")[0] in notice


def test_a_network_that_no_genome_has_ends_the_search_at_once_with_the_first_reason(own, tmp_path):
    code = HEADS.format(refuse="raise ValueError(width, heads)")
    space = own(code, genome="width: {choices: [11, 13]}, heads: {choices: [4, 5]}")
    with pytest.raises(UsageError, match=r"own_net:build: raised ValueError: \(11, 4\)"):
        hebbevo.search(space, study=tmp_path / "s.db")
    assert not (tmp_path / "s.db").exists()


def test_code_of_a_running_script_is_refused_since_no_worker_could_import_it(own, tmp_path, monkeypatch):
    space = own(PLAIN)
    space.write_text(space.read_text().replace("own_net:build", "__main__:build"))
    monkeypatch.setattr(sys.modules["__main__"], "build", lambda width: None, raising=False)
    expected = r"^__main__:build: a script .*; move it into a module, and name mine:build"
    with pytest.raises(UsageError, match=expected):
        hebbevo.search(space, study=tmp_path / "s.db", workers=1)
    assert not (tmp_path / "s.db").exists()


NORMED = """\
    from torch import nn

    def build(width, norm):
        middle = nn.BatchNorm1d(width) if norm else nn.Identity()
        return nn.Sequential(nn.Linear(6, width), middle, nn.ReLU(), nn.Linear(width, 3))
"""
# in training mode, OUTPUT is what becomes of the first layer's outputs x
OWN_NORM = """\
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first, self.head = nn.Linear(6, width), nn.Linear(width, 3)

        def forward(self, x):
            x = self.first(x)
            return self.head(OUTPUT if self.training else x)

    def build(width, norm):
        return Net(width)
"""
STANDARDISED = OWN_NORM.replace(
    "OUTPUT", "(x - x.mean(0)) / ((x - x.mean(0)).square().sum(0) / (len(x) - 1)).sqrt()"
)
# one row has no distance from the mean of the rows, and the root of it no gradient
CENTRED = OWN_NORM.replace("OUTPUT", "x / (1 + (x - x.mean(0)).square().sum(0).sqrt())")


@pytest.mark.parametrize(
    ("code", "norm", "error"),
    [
        (NORMED, "[true]", "ValueError: Expected more than 1 value per channel"),
        (NORMED, "[false, true]", "ValueError: Expected more than 1 value per channel"),
        (STANDARDISED, "[true]", "its loss is nan"),
        (CENTRED, "[true]", "its outputs after the step are not finite"),
        (NORMED, "[false]", None),
    ],
)
def test_a_last_minibatch_that_is_too_short_is_refused_with_a_batch_size_that_works(
    own, tmp_path, code, norm, error
):
    genome = f"width: {{choices: [4, 6]}}, norm: {{choices: {norm}}}"
    space = own(code, genome=genome, batch_size=167)  # of 168 training rows
    study = tmp_path / "s.db"
    if error:
        what = "the last minibatch has 1 of 168 rows, on which own_net:build fails"
        expected = rf"task.batch_size: {what} \(({error})"
        with pytest.raises(UsageError, match=expected) as caught:
            hebbevo.search(space, study=study)
        assert str(caught.value).endswith("; write 168")
        assert not study.exists()
        space = own(code, genome=genome, batch_size=168)
    assert {*hebbevo.search(space, study=study).trials().state} == {"complete"}


@pytest.mark.parametrize(
    ("draw", "is_repeatable"),
    [
        ("random.random()", True),
        ("np.random.rand()", True),
        ("torch.rand(()).item()", True),
        ("np.random.default_rng().random()", False),
        ("time.perf_counter_ns() % 1000 / 1000", False),
        ("random.SystemRandom().random()", False),
    ],
)
def test_a_network_that_draws_from_what_no_seed_decides_is_noticed(own, tmp_path, draw, is_repeatable):
    code = f"""\
    import random, time
    import numpy as np
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first, self.head = nn.Linear(6, width), nn.Linear(width, 3)

        def forward(self, x):
            x = self.first(x).relu()
            return self.head(x * {draw} if self.training else x)

    def build(width):
        return Net(width)
    """
    seen = []
    study = hebbevo.search(own(code), study=tmp_path / "s.db", trials=2, watch=seen.append)
    notices = [each.notice for each in seen if "came out otherwise when it was repeated" in each.notice]
    assert (notices == []) is is_repeatable
    if is_repeatable:
        hebbevo.network(study, 0, allow_code=True)
    else:
        try:
            hebbevo.network(study, 0, allow_code=True)
        except UsageError as error:  # not where the same accuracy came out by chance
            assert "with your code (own_net:build) no two trainings come out the same" in str(error)


@pytest.mark.parametrize(("space", "stacked"), [("units", True), ("stamina", True), ("topology", False)])
def test_networks_are_stacked_where_most_structures_recur(space, stacked):
    """The rules of `units` are 13 structures, and the widths of `topology` thousands."""
    _, facts = preflight.prepare(override(read(space), engine="pytorch"), "cpu", 1)
    assert (facts.alone == "") == stacked
    assert (facts.cohort_width > 1) == stacked
