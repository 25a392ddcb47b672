"""hebbevo's samplers as a search algorithm of Ray Tune, for any trainable."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from hebbevo.errors import ReplayMismatch, StudyError, UsageError
from hebbevo.samplers import SAMPLERS, Outcome, Sampler
from hebbevo.space.genes import Genome, Space
from hebbevo.space.knobs import Value, listed, unknown
from hebbevo.spec import schema
from hebbevo.spec.schema import Spec

_SIGNS = {"max": -1.0, "min": 1.0}


@dataclass
class _Trial:
    """A genome, the trial of Tune that has it, and, once that is done, its metrics; ``None`` if it failed."""

    genome: Genome
    id: str | None = None
    done: bool = False
    values: list[float] | None = None


@dataclass
class _Generation:
    """What was asked at once; all but the last were told."""

    progress: float
    trials: list[_Trial]


class HebbevoSearch(Searcher):
    """Gives every trial of a `ray.tune.Tuner` a genome as its config, without the genes that are inactive.

    A generation is handed out genome by genome; then nothing is suggested until all of it is done, and it is
    learned from in the order of asking. So the same results lead to the same genomes, whatever runs at once.
    A trial that ends in an error, or whose last report lacks a metric or has one that is no finite number, is
    a failed training to learn from.

    Args:
        space: a `Space`, a `Spec` or its file (of which only the genome counts), or a mapping like the genome
            of a space file, with genes of any name: ``{"rate": {"low": 1e-4, "high": 0.1, "log": True}}``.
        metric: what the trainable reports, one name or several; by default that of the ``TuneConfig``, which
            Tune passes on only beside a ``param_space``.
        mode: ``max`` or ``min`` for each metric.
        sampler: name of the sampler.
        population: size of a generation.
        seed: of the sampler.
        settings: the sampler's.
        trials: the ``num_samples`` of the ``TuneConfig``, which a sampler with a schedule (annealing) needs.

    Raises:
        UsageError: an argument cannot be used.
    """

    CKPT_FILE_TMPL = "searcher-state-{}.json"

    def __init__(
        self,
        space: Space | Spec | str | Path | Mapping[str, Any],
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        *,
        sampler: str = "surrogate",
        population: int = 50,
        seed: int = 0,
        settings: Mapping[str, Value] | None = None,
        trials: int | None = None,
    ) -> None:
        super().__init__()  # without the metrics: Tune would end the whole run at a report that lacks one
        if sampler not in SAMPLERS:
            raise UsageError(f"sampler: unknown sampler {unknown(sampler, SAMPLERS)}")
        for name, number, least in (("population", population, 1), ("seed", seed, 0), ("trials", trials, 1)):
            if number is not None and (type(number) is not int or number < least):
                raise UsageError(f"{name}: {number!r} does not do; write a whole number of {least} or more")
        self._space = _space(space)
        self._modes = _modes(metric, mode)
        self._name = sampler
        self._population = population
        self._seed = seed
        self._settings = dict(settings or {})
        self._trials = trials
        self._history: list[_Generation] = []
        self._repeated = False
        self._sampler = self._new_sampler()

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take metric and mode where there are none yet; the space stays, and Tune refuses another in config.

        Raises:
            UsageError: ``config``, which is what all trials share, has a gene in it.
        """
        if both := [gene.name for gene in self._space.genes if gene.name in config]:
            raise UsageError(f"param_space: {listed(both)} is searched; drop it here or in the space")
        if metric and not self._modes:
            self._modes = _modes(metric, mode)
            self._sampler = self._new_sampler()
        return False

    def suggest(self, trial_id: str) -> Genome | None:
        """Give the next genome, or ``None`` while a generation is under way of which all are given.

        Raises:
            UsageError: there is no metric, or this is inside a ``Repeater``.
        """
        if not self._modes:
            raise UsageError(
                "metric: there is none; give HebbevoSearch metric and mode (Tune does not pass on those of "
                "TuneConfig without a param_space)"
            )
        if self._repeated:
            raise UsageError("Repeater: passes on one metric only; repeat and average inside the trainable")
        if not self._history or all(trial.done for trial in self._history[-1].trials):
            self._ask()
        trial = next((trial for trial in self._history[-1].trials if trial.id is None), None)
        if trial is None:
            return None
        trial.id = trial_id
        return dict(trial.genome)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take what became of a trial; a later word on it counts until its generation is learned from."""
        result = {} if error or not result else result
        self._repeated |= None in result  # a Repeater takes the metric that we keep from Tune for a name
        for trial in self._history[-1].trials if self._history else ():
            if trial.id == trial_id:
                values = [_number(result.get(metric)) for metric in self._modes]
                trial.done = True
                trial.values = values if all(map(math.isfinite, values)) else None

    def save(self, checkpoint_path: str) -> None:
        """Write the settings and the history of generations as JSON."""
        state = {"made": self._made(), "generations": [asdict(generation) for generation in self._history]}
        Path(checkpoint_path).write_text(json.dumps(state, allow_nan=False))

    def restore(self, checkpoint_path: str) -> None:
        """Take the sampler through a saved history; trials that were under way then keep their genomes.

        Raises:
            StudyError: the file cannot be read, or was saved by a search with other settings.
            ReplayMismatch: the sampler asks for other genomes than the recorded ones.
        """
        try:
            state = json.loads(Path(checkpoint_path).read_text())
            made = state["made"]
            history = [
                _Generation(entry["progress"], [_Trial(**trial) for trial in entry["trials"]])
                for entry in state["generations"]
            ]
        except OSError as error:
            what = f"cannot be read ({error.strerror}); write the path of a saved HebbevoSearch"
            raise StudyError(f"{checkpoint_path}: {what}") from error
        except (ValueError, KeyError, TypeError) as error:
            what = "is no saved HebbevoSearch; write the path of one"
            raise StudyError(f"{checkpoint_path}: {what}") from error
        if changed := [name for name, value in self._made().items() if made.get(name) != value]:
            what = f"was saved with another {listed(changed)}; make HebbevoSearch as it was made then"
            raise StudyError(f"{checkpoint_path}: {what}")
        sampler = self._new_sampler()
        for number, generation in enumerate(history):
            if number:
                sampler.tell(self._outcomes(history[number - 1]))
            asked = sampler.ask(self._population, generation.progress)
            if asked != [trial.genome for trial in generation.trials]:
                raise ReplayMismatch(
                    f"{checkpoint_path}: generation {number} is not replayed: the sampler asks for other "
                    "genomes than the recorded ones; continue with the library versions that made it"
                )
        self._sampler, self._history = sampler, history

    def _ask(self) -> None:
        if self._history:
            self._sampler.tell(self._outcomes(self._history[-1]))
        spent = len(self._history) * self._population
        progress = min(1.0, spent / self._trials) if self._trials else 0.0
        genomes = self._sampler.ask(self._population, progress)
        self._history.append(_Generation(progress, [_Trial(genome) for genome in genomes]))

    def _outcomes(self, generation: _Generation) -> list[Outcome]:
        return [Outcome(trial.genome, self._losses(trial.values)) for trial in generation.trials]

    def _losses(self, values: list[float] | None) -> tuple[float, ...] | None:
        if values is None:
            return None
        return tuple(_SIGNS[mode] * value for mode, value in zip(self._modes.values(), values, strict=True))

    def _new_sampler(self) -> Sampler:
        return SAMPLERS[self._name](self._space, self._seed, self._settings, max(1, len(self._modes)))

    def _made(self) -> dict[str, Any]:
        """What the genomes depend on beside the results, as it comes back from JSON."""
        made = {
            "space": self._space.to_json(),
            "metric": list(self._modes),
            "mode": list(self._modes.values()),
            "sampler": self._name,
            "population": self._population,
            "seed": self._seed,
            "settings": self._settings,
        }
        return dict(json.loads(json.dumps(made)))


def _space(space: Space | Spec | str | Path | Mapping[str, Any]) -> Space:
    if isinstance(space, Space):
        return space
    if isinstance(space, str | Path):
        return schema.read(space).space
    if isinstance(space, Spec):
        return space.space
    around = {"version": 1, "name": "tune", "task": {"dataset": "none"}}
    return Spec.from_json({**around, "genome": space}).space


def _modes(metric: str | Sequence[str] | None, mode: str | Sequence[str] | None) -> dict[str, str]:
    """The mode of each metric."""
    metrics = [metric] if isinstance(metric, str) else list(metric or ())
    modes = [mode] if isinstance(mode, str) else list(mode or ())
    for name in modes:
        if name not in _SIGNS:
            raise UsageError(f"mode: {name!r} is not known; write max or min")
    if len(modes) != len(metrics):
        raise UsageError(f"mode: there are {len(modes)} for {len(metrics)} metrics; write one for each")
    return dict(zip(metrics, modes, strict=True))


def _number(value: object) -> float:
    """A number as anybody reports one; NaN for anything else."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last one is PyTorch's
        return math.nan
