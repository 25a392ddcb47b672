"""hebbevo's samplers in Ray Tune. Most tests need no Ray: they call the searcher as Tune does."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import ray
import torch
from ray import cloudpickle, tune
from ray.tune.search import ConcurrencyLimiter, Repeater

from hebbevo.errors import ReplayMismatch, StudyError, UsageError
from hebbevo.integrations.ray_tune import HebbevoSearch
from hebbevo.samplers import SAMPLERS, Outcome
from hebbevo.space import Genome
from hebbevo.spec import read, shipped, spec_from_json

SPACE = {
    "rate": {"low": 1e-4, "high": 0.1, "log": True},
    "width": {"type": "int", "low": 1, "high": 99},
    "kind": {"choices": ["plain", "leaky"]},
    "leak": {"low": 0.0, "high": 1.0, "when": {"kind": "leaky"}},
}
SETTINGS = {
    "surrogate": {"model_generations": 3},
    "tpe": {"n_startup_trials": 5},
    "gp": {"n_startup_trials": 100},
}
SPEC = {"version": 1, "name": "tune", "task": {"dataset": "none"}, "genome": SPACE}
TWO = {"metric": ["accuracy", "survivors"], "mode": ["max", "min"]}
PAGE = Path(__file__).parents[2] / "docs/howto/ray_tune.md"

Report = dict[str, Any] | None

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def search(sampler: str = "ga", **changes: Any) -> HebbevoSearch:
    given = {**TWO, "population": 6, "settings": SETTINGS.get(sampler, {}), "trials": 20, **changes}
    return HebbevoSearch(SPACE, sampler=sampler, **given)


def score(genome: Genome) -> dict[str, float]:
    return {"accuracy": 1 - abs(genome["rate"] - 0.01), "survivors": genome["width"] * genome.get("leak", 1)}


def with_failures(genome: Genome) -> Report:
    """An error for some, NaN for others."""
    if genome["width"] % 5 == 0:
        return None
    return score(genome) | ({"accuracy": math.nan} if genome["width"] % 5 == 1 else {})


def run(
    searcher: Any,
    trials: int,
    at_once: int = 1,
    train: Callable[[Genome], Report] = with_failures,
    live: dict[str, Genome] | None = None,
    first: int = 0,
) -> tuple[list[Genome], dict[str, Genome]]:
    """Do as Tune does until ``trials`` more are suggested: give the genomes, and those still training."""
    rng, genomes, live = random.Random(at_once), [], dict(live or {})
    while len(genomes) < trials:
        name = f"trial{first + len(genomes)}"
        genome = searcher.suggest(name) if len(live) < at_once else None
        if genome is not None:
            genomes.append(genome)
            live[name] = genome
            continue
        assert live, "nothing is training and nothing is suggested"
        finish(searcher, rng.choice(sorted(live)), live, train)
    return genomes, live


def finish(
    searcher: Any, name: str, live: dict[str, Genome], train: Callable[[Genome], Report] = with_failures
) -> None:
    report = train(live.pop(name))
    searcher.on_trial_complete(name, result=report, error=report is None)


@every_sampler
def test_the_genomes_are_those_of_the_sampler_in_whatever_order_trials_run_and_end(sampler: str) -> None:
    bare = SAMPLERS[sampler](spec_from_json(SPEC).space, 0, SETTINGS.get(sampler, {}), trials=20)
    expected: list[Genome] = []
    for spent in (0, 6 / 20, 12 / 20):
        asked = bare.ask(6, spent)
        reports = [with_failures(genome) for genome in asked]
        losses = [report and (-report["accuracy"], report["survivors"]) for report in reports]
        bare.tell([Outcome(genome, each) for genome, each in zip(asked, losses, strict=True)])
        expected += asked
    for at_once in (1, 2, 4, 50):
        assert run(search(sampler), 15, at_once)[0] == expected[:15]


@every_sampler
@pytest.mark.parametrize("given", [0, 3, 6, 9, 12])
def test_a_saved_or_pickled_search_continues_as_one_that_was_not(
    sampler: str, given: int, tmp_path: Path
) -> None:
    straight = search(sampler)
    genomes, live = run(straight, given, 3)
    straight.save(str(tmp_path / "state.json"))
    assert not {type(leaf) for leaf in leaves(tmp_path / "state.json")} - {str, int, float, bool, type(None)}
    restored = search(sampler)
    restored.restore(str(tmp_path / "state.json"))
    pickled = cloudpickle.loads(cloudpickle.dumps(straight))
    later = [run(each, 15 - given, 3, live=live, first=given)[0] for each in (straight, restored, pickled)]
    assert later[0] == later[1] == later[2]
    assert genomes + later[0] == run(search(sampler), 15)[0]


def leaves(path: Path) -> Iterator[object]:
    def inside(value: Any) -> Iterator[object]:
        if isinstance(value, list | dict):
            for each in value.values() if isinstance(value, dict) else value:
                yield from inside(each)
        else:
            yield value

    return inside(json.loads(path.read_text()))


@every_sampler
def test_known_genomes_are_suggested_first_and_belong_to_a_saved_search(sampler: str, tmp_path: Path) -> None:
    start = [
        {"rate": 0.01, "width": 7, "kind": "plain"},
        {"rate": 1e-4, "width": 9, "kind": "leaky", "leak": 1.0},
    ]
    known = search(sampler, start=start)
    assert [known.suggest(trial) for trial in ("a", "b")] == start
    known.save(str(tmp_path / "saved"))
    again = search(sampler, start=start)
    again.restore(str(tmp_path / "saved"))
    assert again.suggest("c") == known.suggest("c")
    with pytest.raises(StudyError, match="was saved with another start"):
        search(sampler).restore(str(tmp_path / "saved"))


@every_sampler
@pytest.mark.parametrize("objectives", [1, 3])
def test_any_number_of_metrics_of_any_name_is_searched(sampler: str, objectives: int) -> None:
    names = [f"eval/m{number}" for number in range(objectives)]
    searcher = search(sampler, metric=names, mode=["min"] * objectives)

    def train(genome: Genome) -> Report:
        return {name: genome["width"] / number for number, name in enumerate(names, 1)}

    assert len(run(searcher, 15, 2, train)[0]) == 15


def test_one_metric_needs_no_list() -> None:
    def one(**given: Any) -> list[Genome]:
        return run(search(**given), 15)[0]

    assert one(metric="survivors", mode="min") == one(metric=["survivors"], mode=["min"])


def test_the_mode_says_whether_more_is_better() -> None:
    def train(genome: Genome) -> Report:
        return {"up": genome["width"], "down": -genome["width"]}

    ways = [("up", "max"), ("down", "min"), ("up", "min")]
    maximal, same, minimal = (
        run(search(metric=metric, mode=mode, population=20), 200, train=train)[0] for metric, mode in ways
    )
    assert maximal == same
    assert max(genome["width"] for genome in maximal[-20:]) > 90
    assert min(genome["width"] for genome in minimal[-20:]) < 10


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"accuracy": 0.5},
        {"accuracy": 0.5, "survivors": math.nan},
        {"accuracy": math.inf, "survivors": 3},
        {"accuracy": 0.5, "survivors": None},
        {"accuracy": 0.5, "survivors": "many"},
        {"accuracy": 0.5, "survivors": [1, 2]},
        {"accuracy": torch.zeros(2), "survivors": 1},
        {"accuracy": 10**400, "survivors": 1},
    ],
    ids=str,
)
def test_a_metric_that_is_missing_or_no_finite_number_is_a_failed_training(
    report: dict[str, Any], tmp_path: Path
) -> None:
    searcher = search()
    genomes, live = run(searcher, 7, 1, lambda _: report)
    failed = run(search(), 7, 1, lambda _: None)
    assert (genomes, live) == failed
    searcher.save(str(tmp_path / "state.json"))
    first, _ = json.loads((tmp_path / "state.json").read_text())["generations"]
    assert all(trial["done"] and trial["values"] is None for trial in first["trials"])


def test_numbers_of_numpy_and_pytorch_are_numbers() -> None:
    def train(genome: Genome) -> Report:
        report = score(genome)
        return {"accuracy": torch.tensor(report["accuracy"]).double(), "survivors": report["survivors"]}

    def plain(genome: Genome) -> Report:
        return {name: float(value) for name, value in (train(genome) or {}).items()}

    assert run(search(), 15, train=train)[0] == run(search(), 15, train=plain)[0]


def test_a_report_of_a_trial_that_is_not_running_changes_nothing() -> None:
    searcher = search()
    searcher.on_trial_complete("stranger", score({"rate": 0.1, "width": 1}))
    genomes = [searcher.suggest(f"trial{number}") for number in range(6)]
    searcher.on_trial_complete("stranger", error=True)
    assert searcher.suggest("trial6") is None
    for number, genome in enumerate(genomes):
        report = with_failures(genome)
        searcher.on_trial_complete(f"trial{number}", report, error=report is None)
    genomes.append(searcher.suggest("trial6"))
    searcher.on_trial_complete("trial0", error=True)  # the sampler has learned from its generation
    later, _ = run(searcher, 8, live={"trial6": genomes[-1]}, first=7)
    assert genomes + later == run(search(), 15)[0]


@pytest.mark.parametrize("batch", [False, True])
def test_a_concurrency_limiter_changes_nothing(batch: bool) -> None:
    for most in (1, 4, 50):
        limited = ConcurrencyLimiter(search(), max_concurrent=most, batch=batch)
        assert run(limited, 15, 50)[0] == run(search(), 15)[0]


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_a_repeater_is_refused_before_a_second_generation() -> None:
    repeated = Repeater(search(population=1), repeat=2)
    with pytest.raises(UsageError, match=r"^Repeater: passes on one metric only; [^\n]*\Z"):
        run(repeated, 3, train=score)


def test_the_tune_config_may_name_the_metric() -> None:
    searcher = search(metric=None, mode=None)
    with pytest.raises(UsageError, match=r"^metric: there is none; [^\n]*\Z"):
        searcher.suggest("trial0")
    assert not searcher.set_search_properties("survivors", "min", {"epochs": 3}, num_samples=15)
    assert run(searcher, 15)[0] == run(search(metric="survivors", mode="min"), 15)[0]


def test_the_metric_of_the_searcher_goes_before_that_of_the_tune_config() -> None:
    searcher = search()
    searcher.set_search_properties("survivors", "max", {"epochs": 3})
    assert run(searcher, 15)[0] == run(search(), 15)[0]


def test_a_gene_in_the_param_space_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^param_space: rate is searched; drop it here or in the space$"):
        search().set_search_properties(None, None, {"rate": 0.1, "epochs": 3})


def test_a_space_may_be_a_name_a_file_a_spec_or_itself() -> None:
    spec = read("stamina")
    path = shipped()["stamina"]
    raw = spec.to_json()["genome"]
    suggested = [
        HebbevoSearch(space, **TWO).suggest("a") for space in ("stamina", path, spec, spec.space, raw)
    ]
    assert all(genome == suggested[0] for genome in suggested)
    assert set(suggested[0]) == set(raw)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"space": "nowhere"}, "nowhere: there is no such file"),
        ({"space": {}}, "genome: {} is empty; write"),
        ({"space": {"rate": {"low": 2, "high": 1}}}, "genome.rate.high: 1 is not above low"),
        ({"space": {"rate": tune.uniform(0, 1)}}, "genome.rate: .* is not a gene; write {low"),
        ({"sampler": "surogate"}, "sampler: unknown sampler 'surogate'; did you mean surrogate"),
        ({"settings": {"sigma": 1}}, "search.settings.sigma: Surrogate has no such setting; write"),
        ({"population": 0}, "population: 0 is not possible; write a whole number of 1 or more"),
        ({"seed": 0.5}, "seed: 0.5 is not possible; write a whole number of 0 or more"),
        ({"trials": 0}, "trials: 0 is not possible; write"),
        ({"mode": ["max", "low"]}, "mode: 'low' is not known; write max or min"),
        ({"mode": "max"}, "mode: there are 1 for 2 metrics; write one for each"),
        ({"metric": None}, "mode: there are 2 for 0 metrics; write one for each"),
    ],
)
def test_bad_arguments_are_an_error_of_one_line(given: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=rf"^{what}[^\n]*\Z"):
        HebbevoSearch(**{"space": SPACE, **TWO, **given})


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"population": 7}, {"mode": ["max", "max"]}, {"settings": {"mutation_eta": 3}}]
)
def test_a_saved_search_with_other_settings_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    search().save(path)
    with pytest.raises(StudyError, match=rf"^{path}: was saved with another {next(iter(change))}; make"):
        search(**change).restore(path)


def test_a_search_may_be_continued_with_more_trials(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    searcher = search("annealing")
    genomes, live = run(searcher, 9)
    searcher.save(path)
    longer = search("annealing", trials=100)
    longer.restore(path)
    assert (genomes + run(longer, 3, live=live, first=9)[0]) == run(search("annealing"), 12)[0]


def test_a_saved_search_with_other_genomes_than_the_sampler_asks_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    searcher = search()
    run(searcher, 9)
    searcher.save(str(path))
    state = json.loads(path.read_text())
    state["generations"][1]["trials"][2]["genome"]["rate"] = 0.05
    path.write_text(json.dumps(state))
    with pytest.raises(ReplayMismatch, match=rf"^{path}: generation 1 is not replayed: "):
        search().restore(str(path))


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"made": {}, "generations": [3]}'])
def test_a_file_that_is_no_saved_search_is_an_error_of_one_line(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StudyError, match=rf"^{path}: (cannot be read|is not a saved HebbevoSearch)[^\n]*\Z"):
        search().restore(str(path))


def test_no_other_module_imports_ray() -> None:
    code = (
        "import sys, hebbevo.integrations, hebbevo.cli.commands, hebbevo.api; assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- with Ray ---


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """Ray on this machine, without usage statistics and log files of Tune."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
    interrupt = signal.getsignal(signal.SIGINT)
    # pytest's own folders can be too deep: the path of a socket has at most 107 bytes
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(prefix="ray") as folder:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        yield
        ray.shutdown()
    signal.signal(signal.SIGINT, interrupt)  # Tune leaves its own handler
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def trained(config: dict[str, Any]) -> Report:
    """As `with_failures`, but some reports lack a metric."""
    genome = {name: value for name, value in config.items() if name != "epochs"}
    report = with_failures(genome)
    if report and genome["width"] % 5 == 2:
        del report["survivors"]
    return report


class Net(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.shared = config["epochs"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return bool(self.shared == new_config["epochs"])

    def step(self) -> dict[str, Any]:
        report = trained(self.config)
        if report is None:
            raise RuntimeError("no luck")
        return {**report, "done": True}


class CtrlC(tune.Callback):
    """Interrupts a run after a few results; restored with the run, it does so again."""

    left = 5

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_of_tune_that_is_interrupted_and_restored_asks_as_one_that_was_not(
    two_workers: None, tmp_path: Path
) -> None:
    folder, common = tmp_path / "run", {"epochs": 3}

    def recorded() -> list[dict[str, Any]]:
        newest = max(folder.glob("searcher-state-*.json"))
        generations = json.loads(newest.read_text())["generations"]
        return [trial for generation in generations for trial in generation["trials"]]

    tuner = tune.Tuner(
        Net,
        param_space=common,
        tune_config=tune.TuneConfig(
            search_alg=search(), num_samples=15, reuse_actors=True, max_concurrent_trials=2
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(tmp_path),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[CtrlC()],
            verbose=0,
        ),
    )
    results, runs = tuner.fit(), 1
    while sum(trial["done"] for trial in recorded()) < 15:
        assert runs < 5
        results, runs = tune.Tuner.restore(str(folder), Net, param_space=common).fit(), runs + 1
    assert runs > 1
    expected, _ = run(search(), 15, train=trained)
    assert [trial["genome"] for trial in recorded()[:15]] == expected
    assert 0 < sum(trial["values"] is None for trial in recorded()[:15]) < 15
    ran = [result.config for result in results]
    assert sorted(ran, key=str) == sorted([{**common, **genome} for genome in expected], key=str)


def test_the_example_of_the_page_runs(
    two_workers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out
