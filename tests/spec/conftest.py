import pytest

from hebbevo.errors import SpaceError
from hebbevo.spec import read

GOOD = """\
version: 1
name: good
task: {dataset: digits, epochs: 20, batch_size: 64}
network:
  hidden:
    - 128
    - 64
  units: stamina
  settings: {handover: true, warmup: 10}
search: {sampler: ga, population: 50, trials: 500, replicates: 1, seed: 0}
genome:
  unactivation_penalty:
    low: 1e-2
    high: 100
    log: true
  penalty_form:
    choices: [mean, ratio]
  prune_period: {low: 2, high: 20, step: 3, type: int}
  hebbian_threshold: {low: -1.0, high: 1, when: {penalty_form: ratio, prune_period: 5}}
"""


STRUCTURED = """\
version: 1
name: structured
task: {dataset: digits}
network: {hidden: [128, 64], units: stamina, settings: {settle: 0.3, warmup: 10}}
genome:
  depth: {type: int, low: 1, high: 4}
  hidden: {type: int, low: 4, high: 256, log: true, repeat: depth}
  units: {choices: [stamina, dense]}
  unactivation_penalty: {low: 1e-2, high: 100, log: true, when: {units: stamina}}
  regrowth_rate: {low: 0, high: 0.1, repeat: depth, when: {units: stamina}}
  prune_period: {type: int, low: 5, high: 40, when: {depth: [2, 3], units: [stamina]}}
  learning_rate: {low: 1e-4, high: 1e-2, log: true}
"""


MINIMAL = (
    "version: 1\nname: least\ntask: {dataset: digits}\ngenome:\n  learning_rate: {low: 1e-5, high: 1.0e0}\n"
)


@pytest.fixture
def written(tmp_path):
    def write(text, name="space.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def good(written):
    return read(written(GOOD))


def complaint(path):
    with pytest.raises(SpaceError) as caught:
        read(path)
    text = str(caught.value)
    assert text.isprintable() and text.startswith(f"{path}:")
    line, key, what = text.removeprefix(f"{path}:").split(": ", 2)
    assert "; " in what and "pydantic" not in what and "valid" not in what
    return int(line), key, what


WHEN = "genome.hebbian_threshold.when"


AXES = """\
version: 1
name: axes
task: {dataset: digits}
network: {settings: {settle: 0.3, permanence_bound: 1.0}}
genome:
  units: {choices: [stamina, random, dense]}
  connections: {choices: [full, hebb_mask, magnitude]}
  unactivation_penalty: {low: 1e-2, high: 100, log: true, when: {units: stamina}}
  max_deaths: {low: 0.05, high: 0.5, when: {units: [stamina, random]}}
  permanence_rate: {low: 1e-2, high: 1, log: true, when: {connections: hebb_mask}}
  prune_period: {type: int, low: 5, high: 40, when: {units: stamina}}
  density: {low: 0.1, high: 1.0, when: {connections: magnitude}}
"""
