"""hebbevo's samplers as a search algorithm of Ray Tune, for any trainable."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from hebbevo.errors import ReplayMismatch, StudyError, UsageError
from hebbevo.messages import listed, unknown
from hebbevo.samplers import SAMPLERS, VERSION, Outcome, Sampler
from hebbevo.samplers.replay import PastGeneration, replay
from hebbevo.space import Genome, Space
from hebbevo.space.knobs import Scalar
from hebbevo.spec import Spec, read, spec_from_json

_SIGNS = {"max": -1.0, "min": 1.0}


@dataclass
class _Trial:
    """A genome and the trial of Tune that has it.

    Attributes:
        genome: the genome.
        id: Tune's id of the trial, or ``None`` until the genome is suggested.
        done: whether the trial has ended.
        values: its metrics, or ``None`` until it has ended, and if it failed.
    """

    genome: Genome
    id: str | None = None
    done: bool = False
    values: list[float] | None = None


@dataclass
class _Generation:
    """Trials whose genomes were asked for at once.

    The sampler knows the outcomes of all generations but the last.
    """

    progress: float
    trials: list[_Trial]


class HebbevoSearch(Searcher):
    """A search algorithm for `ray.tune.Tuner`. The config of a trial is a genome without inactive genes.

    The genomes of a generation are suggested one by one. Then none is suggested until all its trials have
    ended, and the sampler learns from them in the order of asking. So the same results lead to the same
    genomes, however many trials run at once. A trial counts as a failed training if it ends in an error, or
    if its last report lacks a metric or has one that is not a finite number.

    Args:
        space: a `Space`, a `Spec` or its file (of which only the genome counts), or a mapping like the genome
            of a space file, with genes of any name: ``{"rate": {"low": 1e-4, "high": 0.1, "log": True}}``.
        metric: what the trainable reports, one name or several; by default that of the ``TuneConfig``, which
            Tune passes on only beside a ``param_space``.
        mode: ``max`` or ``min`` for each metric.
        sampler: name of the sampler, as in a space file.
        population: number of genomes in a generation.
        seed: seed of the sampler.
        settings: settings of the sampler.
        trials: the ``num_samples`` of the ``TuneConfig``, which samplers with a schedule (annealing) or a
            design (latin_hypercube) need.
        start: whole genomes of the space to suggest before all others, in their order.

    Raises:
        UsageError: an argument cannot be used.

    Examples:
        Two genomes of a generation, without Tune:

        >>> space = {"rate": {"low": 1e-4, "high": 0.1, "log": True}}
        >>> search = HebbevoSearch(space, metric="loss", mode="min", sampler="random", population=2)
        >>> [sorted(search.suggest(trial)) for trial in ("first", "second")]
        [['rate'], ['rate']]
        >>> search.suggest("third") is None  # until the first two have ended
        True
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
        settings: Mapping[str, Scalar] | None = None,
        trials: int | None = None,
        start: Sequence[Genome] = (),
    ) -> None:
        super().__init__()  # without the metrics: Tune would end the whole run if a report lacked one
        if sampler not in SAMPLERS:
            raise UsageError(f"sampler: unknown sampler {unknown(sampler, SAMPLERS)}")
        for name, number, least in (("population", population, 1), ("seed", seed, 0), ("trials", trials, 1)):
            if number is not None and (type(number) is not int or number < least):
                raise UsageError(
                    f"{name}: {number!r} is not possible; write a whole number of {least} or more"
                )
        self._space = _space(space)
        self._modes = _modes(metric, mode)
        self._name = sampler
        self._population = population
        self._seed = seed
        self._settings = dict(settings or {})
        self._trials = trials
        self._start = [dict(genome) for genome in start]
        self._history: list[_Generation] = []
        self._repeated = False
        self._sampler = self._new_sampler()

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Set metric and mode if there are none yet. Tune calls this before the first trial.

        Args:
            metric: the metric of the ``TuneConfig``.
            mode: its mode.
            config: the ``param_space`` of the ``Tuner``, which all trials share.
            spec: not used.

        Returns:
            ``False``: the space stays as it is, and Tune refuses a ``config`` with search spaces of its own.

        Raises:
            UsageError: ``config`` has an entry for a gene.
        """
        if both := [gene.name for gene in self._space.genes if gene.name in config]:
            raise UsageError(f"param_space: {listed(both)} is searched; drop it here or in the space")
        if metric and not self._modes:
            self._modes = _modes(metric, mode)
            self._sampler = self._new_sampler()
        return False

    def suggest(self, trial_id: str) -> Genome | None:
        """Give the next genome.

        Returns:
            The genome, or ``None`` while the generation has no genome left and not all its trials have ended.

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
        """Take the result of a trial. Until the sampler learns from it, a later call replaces it.

        Args:
            trial_id: Tune's id of the trial.
            result: its last report.
            error: whether it ended in an error.
        """
        result = {} if error or not result else result
        self._repeated |= (
            None in result
        )  # a Repeater reports under the metric that Tune was given, which is none
        for trial in self._history[-1].trials if self._history else ():
            if trial.id == trial_id:
                values = [_number(result.get(metric)) for metric in self._modes]
                trial.done = True
                trial.values = values if all(map(math.isfinite, values)) else None

    def save(self, checkpoint_path: str) -> None:
        """Write the settings and the history of generations to a file, as JSON."""
        version = self._sampler.version
        state = {
            "made": self._made(),
            "sampling": version,
            "generations": [asdict(generation) for generation in self._history],
        }
        Path(checkpoint_path).write_text(json.dumps(state, allow_nan=False))

    def restore(self, checkpoint_path: str) -> None:
        """Continue from a file that `save` wrote: its generations are replayed.

        Trials that were running then keep their genomes.

        Raises:
            StudyError: the file cannot be read, or was saved by a search with other settings.
            ReplayMismatch: the sampler asks for other genomes than the recorded ones.
        """
        try:
            state = json.loads(Path(checkpoint_path).read_text())
            made, version = state["made"], int(state.get("sampling", 1))
            history = [
                _Generation(entry["progress"], [_Trial(**trial) for trial in entry["trials"]])
                for entry in state["generations"]
            ]
        except OSError as error:
            what = f"cannot be read ({error.strerror}); write the path of a saved HebbevoSearch"
            raise StudyError(f"{checkpoint_path}: {what}") from error
        except (ValueError, KeyError, TypeError) as error:
            what = "is not a saved HebbevoSearch; write the path of one"
            raise StudyError(f"{checkpoint_path}: {what}") from error
        now = self._made()
        if changed := [name for name in {**now, **made} if made.get(name) != now.get(name)]:
            what = f"was saved with another {listed(changed)}; make HebbevoSearch as it was made then"
            raise StudyError(f"{checkpoint_path}: {what}")
        sampler = self._new_sampler(version)
        try:
            replay(sampler, self._population, self._past(history))
        except ReplayMismatch as mismatch:
            advice = "continue with the library versions that made it"
            raise ReplayMismatch(f"{checkpoint_path}: {mismatch}; {advice}") from None
        self._sampler, self._history = sampler, history

    def _past(self, history: Sequence[_Generation]) -> Iterator[PastGeneration]:
        """The generations as the sampler saw them; the last one has its outcomes only at the next ask."""
        for generation in history:
            outcomes = None if generation is history[-1] else self._outcomes(generation)
            yield PastGeneration(generation.progress, [trial.genome for trial in generation.trials], outcomes)

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

    def _new_sampler(self, version: int = VERSION) -> Sampler:
        objectives = max(1, len(self._modes))
        return SAMPLERS[self._name](
            self._space, self._seed, self._settings, objectives, self._start, version, self._trials
        )

    def _made(self) -> dict[str, Any]:
        """What the genomes depend on beside the results, as plain data that equals its JSON."""
        made = {
            "space": self._space.to_json(),
            "metric": list(self._modes),
            "mode": list(self._modes.values()),
            "sampler": self._name,
            "population": self._population,
            "seed": self._seed,
            "settings": self._settings,
            **({"start": self._start} if self._start else {}),
        }
        return dict(json.loads(json.dumps(made)))


def _space(space: Space | Spec | str | Path | Mapping[str, Any]) -> Space:
    if isinstance(space, Space):
        return space
    if isinstance(space, str | Path):
        return read(space).space
    if isinstance(space, Spec):
        return space.space
    around = {"version": 1, "name": "tune", "task": {"dataset": "none"}}
    return spec_from_json({**around, "genome": space}).space


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
    """Convert a reported value, which may be a tensor, to a number; NaN where that is not possible."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last one is PyTorch's
        return math.nan
