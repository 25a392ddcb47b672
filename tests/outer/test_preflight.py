"""What is found out before a search: which networks can be trained, and that the data stay as they are."""

import sys
import textwrap

import numpy as np
import pytest
import torch

import hebbevo
from hebbevo import data
from hebbevo.outer import preflight
from hebbevo.spec import read

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
    monkeypatch.setattr(sys, "path", [*sys.path])
    written = []

    def write(code, module="own_net", genome="width: {choices: [4, 6, 8]}", task="", batch_size=32):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        path = tmp_path / f"{module}.yaml"
        values = {"data": blobs, "module": module, "genome": genome, "task": task, "batch_size": batch_size}
        path.write_text(USER.format(**values))
        written.append(module)
        return path

    yield write
    for module in written:
        sys.modules.pop(module, None)


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
