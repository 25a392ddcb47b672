"""Stamina: balanced-ReLU accounting, death and regrowth of neurons (spell00/hebbLayers).

Every neuron has a stamina that grows when it is active and shrinks, by the unactivation penalty, when it is
not; a neuron whose stamina falls to the hebbian threshold dies. Changes against the original: stamina is
scale-free and may forget, neurons are masked (not sliced), statistics come from training batches only, and a
returning neuron is recycled as in ReDo (Sokar et al., 2023, arXiv:2302.12902).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob, Value, listed
from hebbevo.nn import counter
from hebbevo.nn.accounting import MEAN_OUTPUT_RATE, AnyChoice, used
from hebbevo.nn.plastic import InjectedLoss, Neighbourhood, PlasticUnits

_ACTIVATION, _FREQUENCY, _CONTRIBUTION = ACTIVITIES = ("activation", "frequency", "contribution")
_MEAN, _RATIO, _ZERO_SUM, _CONSTANT = PENALTY_FORMS = ("mean", "ratio", "zero_sum", "constant")
_AUTO, _FRESH, _OLD = REBIRTHS = ("auto", "fresh", "old")
_BY_CONTRIBUTION, _HANDOVER, _REBORN_FRESH = f"activity={_CONTRIBUTION}", "handover", f"rebirth={_FRESH}"
BIRTH_STREAM, WEIGHT_STREAM = 1, 2  # the weights of further feeders have the streams after it

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob(
            "unactivation_penalty", float, 1.0, "what a silent neuron pays, in units of the penalty form",
            low=0.0, sensible=(1e-2, 1e2), log=True,
        ),
        Knob(
            "penalty_form", str, "mean",
            "penalty level of a sample: mean activity; mean x silent/firing; "
            "mean x all/silent (sums to zero at penalty 1); one",
            choices=PENALTY_FORMS,
        ),
        Knob(
            "hebbian_threshold", float, 0.0,
            "a neuron dies when its stamina, in units of the layer's mean activity, is not above this",
            sensible=(-1.0, 1.0),
        ),
        Knob(
            "activity", str, "activation",
            "what counts as use: the activation, firing at all, or its spread times the outgoing weights'"
            " norm",
            choices=ACTIVITIES,
        ),
        Knob(
            "firing_prior", float, 0.5,
            "probability with which a neuron is expected to fire; low values forgive rare neurons",
            low=0.0, high=1.0, sensible=(0.05, 0.95),
        ),
        Knob(
            "stamina_decay", float, 0.98, "what is left of the stamina after a forward step; 1 never forgets",
            low=0.0, high=1.0, sensible=(0.9, 1.0),
        ),
        Knob("warmup", int, 40, "forward steps before the first death", low=0, sensible=(0, 200)),
        Knob("prune_period", int, 10, "forward steps between deaths", low=1, sensible=(1, 100), log=True),
        Knob(
            "regrowth_rate", float, 0.0, "probability with which a dead neuron returns at an event",
            low=0.0, high=1.0, sensible=(0.0, 0.1),
        ),
        Knob(
            "rebirth", str, "auto",
            "a returning neuron has fresh in-weights and silent out-weights, or its old weights; "
            "auto: fresh where nobody else is heard through its listeners",
            choices=REBIRTHS,
        ),
        Knob("grace", int, 50, "forward steps that a returned neuron cannot die", low=0, sensible=(0, 200)),
        Knob(
            "handover", bool, False, "a dying neuron's mean output goes into the next layer's bias",
            choices=(False, True),
        ),
        Knob(
            "settle", float, 0.0,
            "last fraction of training without deaths or births, the learning rate falling to zero",
            low=0.0, high=0.95, sensible=(0.0, 0.5),
        ),
        Knob("min_neurons", int, 2, "neurons of a layer that never die", low=0, sensible=(0, 16)),
        Knob(
            "max_deaths", float, 0.2, "largest fraction of a layer's living neurons that dies at one event",
            low=0.0, high=1.0, sensible=(0.05, 0.5),
        ),
        Knob(
            "initial_neurons", float, 1.0, "fraction of a layer alive at the start; the rest is its reserve",
            low=0.0, high=1.0, sensible=(0.1, 1.0),
        ),
        Knob(
            "growth_rate", float, 0.0,
            "probability with which a dead neuron joins at an event while the training loss has stalled",
            low=0.0, high=1.0, sensible=(0.0, 0.5),
        ),
        Knob(
            "patience", int, 3, "events without a lower training loss after which it has stalled",
            low=1, sensible=(1, 20),
        ),
        Knob(
            "large_neuron_penalty", float, 0.0,
            "weight of the loss sum_j (y_j / mean - 1)^2 over the layer's mean outputs y",
            low=0.0, sensible=(1e-5, 1.0), log=True,
        ),
        Knob(
            "entropy_bonus", float, 0.0,
            "weight of the entropy of a layer's mean outputs, to be maximised; uniform is best",
            low=0.0, sensible=(1e-5, 1.0), log=True,
        ),
    )
}  # fmt: skip


class _StaminaUnits(PlasticUnits):
    """The rule, for units whose transfer function a subclass gives."""

    knobs: ClassVar[Mapping[str, Knob]] = KNOBS

    unactivation_penalty: Tensor
    penalty_form: Tensor
    hebbian_threshold: Tensor
    activity: Tensor
    firing_prior: Tensor
    stamina_decay: Tensor
    warmup: Tensor
    prune_period: Tensor
    regrowth_rate: Tensor
    rebirth: Tensor
    grace: Tensor
    handover: Tensor
    settle: Tensor
    min_neurons: Tensor
    max_deaths: Tensor
    initial_neurons: Tensor
    growth_rate: Tensor
    patience: Tensor
    large_neuron_penalty: Tensor
    entropy_bonus: Tensor
    seed: Tensor
    age: Tensor  # (num_neurons,) int64, forward steps since the last return
    gain: Tensor  # (num_neurons,) decayed sum of v
    reference: Tensor  # (num_neurons,) decayed sum of the layer's mean activity
    mean_output: Tensor  # (num_neurons,) running mean that starts at zero
    outgoing: Tensor  # (num_neurons,) norm of the outgoing weights
    best_loss: Tensor
    stalled: Tensor  # events without a better loss

    def __init__(
        self,
        num_neurons: int,
        *,
        dim: int = -1,
        seed: int | None = None,
        **knobs: Value | Sequence[float] | Tensor,
    ) -> None:
        super().__init__()
        self.num_neurons = num_neurons
        self.dim = dim
        self.firing_prior = self.firing_prior.repeat(num_neurons)
        draw = torch.randint(2**62, ()) if seed is None else torch.tensor(seed)
        self.register_buffer("seed", draw)
        self.register_buffer("alive", torch.ones(num_neurons, dtype=torch.bool))
        self.register_buffer("age", torch.full((num_neurons,), 2**40))
        self.register_buffer("gain", torch.zeros(num_neurons))
        self.register_buffer("reference", torch.zeros(num_neurons))
        self.register_buffer("mean_output", torch.zeros(num_neurons))
        self.register_buffer("outgoing", torch.ones(num_neurons))
        self.register_buffer("best_loss", torch.tensor(float("inf")))
        self.register_buffer("stalled", torch.tensor(0))
        self.attached = False
        self._given: Mapping[str, object] = {}
        self.configure(**knobs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.attached = False  # a copy has no optimiser that would restructure it

    def configure(self, **knobs: Value | Sequence[float] | Tensor) -> None:
        """Set knobs before the training; the others stay as they are.

        Raises:
            UsageError: unknown knob, or a value outside its range; nothing is set then.
        """
        super().configure(**knobs)
        self._given = {**self._given, **knobs}
        if "initial_neurons" in knobs:
            born = max(1, round(float(self._value("initial_neurons")) * self.num_neurons))
            self.alive.copy_(torch.arange(self.num_neurons, device=self.alive.device) < born)
        # structure, not a hyperparameter: it decides what is computed, so nets that differ are not stacked
        self.regularised = bool(self._value("large_neuron_penalty") or self._value("entropy_bonus"))
        self._wants = [text for text, wanted in self._asked().items() if wanted]

    @abstractmethod
    def transfer(self, x: Tensor) -> Tensor:
        """Apply the transfer function of the living units."""

    @abstractmethod
    def size(self, y: Tensor) -> Tensor:
        """How large the outputs are; a unit is silent where this is zero."""

    @property
    def stamina(self) -> Tensor:
        """Scale-free stamina, (num_neurons,): gains and penalties over the layer's mean activity."""
        return self.gain / self.reference.clamp(min=1e-30)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the transfer function and the mask to ``x``; account in training mode.

        ``x`` has ``num_neurons`` neurons along ``dim``.

        Raises:
            UsageError: ``x`` has another number of neurons, or a knob was set that needs what only
                `hebbevo.nn.attach` gives.
        """
        if x.shape[self.dim] != self.num_neurons:
            what = f"{x.shape[self.dim]} neurons along axis {self.dim} of {tuple(x.shape)}"
            raise UsageError(f"{type(self).__name__}: {what}; it was made for {self.num_neurons}")
        if self.training:
            self._refuse_recomputation()
        alive = self.alive.clone()  # the mask may change below, and the backward pass needs this one
        y = self.transfer(x) * self._along(alive, x)
        if not self.training or not x.numel():
            return y
        if self._wants and not self.attached:
            what = "needs the layers around it; call hebbevo.nn.attach(model, optimizer)"
            raise UsageError(f"{type(self).__name__}: {listed(self._wants)} {what}")
        if self.regularised:
            y = InjectedLoss.apply(y, self._regulariser(y, alive))  # type: ignore[no-untyped-call]
        with torch.no_grad(), _exactly(y.device.type):
            rows = self._rows(y.detach()).to(self.gain.dtype)
            _Accounting.apply(  # type: ignore[no-untyped-call]
                rows, self.size(rows), alive, *(getattr(self, name) for name in _ACCOUNTS)
            )
            if not self.attached:
                self._live_and_die(None)
        return y

    def due(self, step: Tensor) -> Tensor:
        """Tell whether neurons may die or return at ``step``: warmed up, once a period, not settling."""
        settling = (self.total_steps > 0) & (step > self.total_steps * (1 - self.settle))
        return (step >= self.warmup) & (step > 0) & (step % self.prune_period == 0) & ~settling

    def unmet(self, *, hears: bool, hands_over: bool, exclusive: bool) -> str:
        """Say what its knobs ask for that its neighbours cannot give, or nothing."""
        needs = {
            _BY_CONTRIBUTION: (hears, "a layer that listens to it"),
            _HANDOVER: (hands_over, "a layer that listens to it directly and has a bias"),
            _REBORN_FRESH: (exclusive, "listeners by which nobody else is heard"),
        }
        lacking = [(text, what) for text, (met, what) in needs.items() if text in self._wants and not met]
        return ", ".join(f"{text} needs {what}, and none is found" for text, what in lacking)

    @torch.no_grad()
    def connect(self, around: Neighbourhood) -> None:
        """Take the weights of who is out from the start, and learn the norms of the outgoing ones."""
        self.attached = True
        nobody = torch.zeros_like(self.alive)
        self._vacate(around, ~self.alive & around.exclusive, nobody)
        self._learn_outgoing(around, torch.ones_like(self.steps, dtype=torch.bool))

    @torch.no_grad()
    def restructure(self, around: Neighbourhood, due: Tensor | None = None) -> None:
        """Let neurons die and return, in place, if this is due: by default, at the present step."""
        self._live_and_die(around, due)

    def _regulariser(self, y: Tensor, alive: Tensor) -> Tensor:
        """Penalise large neurons, sum_j (m_j/mean - 1)^2, and low entropy of q_j = m_j / sum_k m_k."""
        output = self._rows(y).mean(0)
        living = alive.sum().clamp(min=1)
        share = output / output.sum().clamp(min=1e-12)
        large = ((share * living - 1).square() * alive).sum()
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        return self.large_neuron_penalty * large - self.entropy_bonus * entropy

    def _check(self, key: str, value: object) -> None:
        for each in _numbers(value) if key == "firing_prior" else [value]:
            super()._check(key, each)
        if key == "firing_prior" and len(_numbers(value)) not in (1, self.num_neurons):
            what = f"{len(_numbers(value))} numbers; give one or {self.num_neurons} of them"
            raise UsageError(f"{type(self).__name__}: firing_prior: {what}")

    def _set(self, key: str, value: object) -> None:
        if key == "firing_prior":
            self.firing_prior.copy_(torch.tensor(_numbers(value), dtype=torch.float32))
        else:
            super()._set(key, value)

    def _value(self, knob: str) -> Any:
        """What a knob was set to."""
        return self._given.get(knob, self.knobs[knob].default)

    def _asked(self) -> dict[str, bool]:
        """What the knobs may ask for that a module alone has not, and whether they do."""
        return {
            _BY_CONTRIBUTION: self._value("activity") == _CONTRIBUTION,
            _HANDOVER: bool(self._value("handover")),
            _REBORN_FRESH: self._value("rebirth") == _FRESH,
            "settle": bool(self._value("settle")),
            "growth_rate": bool(self._value("growth_rate")),
        }

    def _along(self, neurons: Tensor, x: Tensor) -> Tensor:
        """Lay a value a neuron along the axes of ``x``."""
        behind = x.dim() - 1 - self.dim % x.dim()
        return neurons.reshape(-1, *(1,) * behind) if behind else neurons

    def _rows(self, y: Tensor) -> Tensor:
        """Outputs as (samples, num_neurons): in a feature map every place is a sample."""
        return y.movedim(self.dim, -1).reshape(-1, self.num_neurons)

    def _live_and_die(self, around: Neighbourhood | None, due: Tensor | None = None) -> None:
        due = self.due(self.steps) if due is None else due
        dies = self.deaths(due)
        chance = self.chance(due, None if around is None else around.loss)
        draw = counter.uniform(self.seed, self.steps, (self.num_neurons,), BIRTH_STREAM)
        born = due & ~self.alive & (draw < chance)
        if around is not None:
            self._rewire(around, due, dies, born)
        self.alive.copy_((self.alive & ~dies) | born)
        self.begin_anew(born)

    def deaths(self, due: Tensor) -> Tensor:
        """Who dies at this event, (..., num_neurons) bool, where it is ``due``, (...)."""
        stamina = self.stamina
        living = self.alive.sum(-1, keepdim=True)
        doomed = self.alive & (self.age >= _column(self.grace)) & (stamina <= _column(self.hebbian_threshold))
        cap = (_column(self.max_deaths) * living).floor().clamp(min=1) * _column(self.max_deaths > 0)
        allowed = torch.minimum(cap, (living - _column(self.min_neurons)).clamp(min=0))
        weakest_first = torch.where(doomed, stamina, torch.inf).argsort(stable=True)
        return _column(due) & doomed & (weakest_first.argsort() < allowed)

    def chance(self, due: Tensor, loss: Tensor | None) -> Tensor:
        """Probability, (...), with which who is out returns now; ``loss``, (...), may have stalled."""
        if loss is not None:
            better = loss < self.best_loss
            self.best_loss.copy_(torch.where(due & better, loss, self.best_loss))
            self.stalled.copy_(torch.where(due, torch.where(better, 0, self.stalled + 1), self.stalled))
        return self.regrowth_rate + self.growth_rate * (self.stalled >= self.patience)

    @property
    def keeps_weights(self) -> Tensor:
        """Whether a returning neuron has its old weights whoever listens, (...) bool."""
        return self.rebirth == REBIRTHS.index(_OLD)

    def gone(self, dies: Tensor) -> Tensor:
        """Mean outputs, (..., num_neurons), that who dies hands to its listeners' biases; else 0."""
        # a running mean that began at zero has this much of its weight
        weight = 1 - (1 - MEAN_OUTPUT_RATE) ** torch.minimum(self.age, _column(self.steps))
        return torch.where(dies & _column(self.handover), self.mean_output / weight, 0)

    def begin_anew(self, born: Tensor) -> None:
        """Forget what was known of ``born`` neurons, (..., num_neurons) bool."""
        for statistic in (self.age, self.gain, self.reference, self.mean_output):
            statistic.masked_fill_(born, 0)

    def _rewire(self, around: Neighbourhood, due: Tensor, dies: Tensor, born: Tensor) -> None:
        gone = self.gone(dies)
        fresh = born & ~self.keeps_weights & around.exclusive
        for listener in around.listeners:
            listener.hand_over(gone)
        self._vacate(around, (dies | born) & around.exclusive, born)
        for number, feeder in enumerate(around.feeders):
            self._redraw(feeder.weight, fresh, WEIGHT_STREAM + number)
        for norm in around.norms:
            for own, value in ((norm.weight, 1), (norm.bias, 0), (norm.mean, 0), (norm.var, 1)):
                if own is not None:
                    own.masked_fill_(fresh, value)
            _forget(norm.moments, born)
        self._learn_outgoing(around, due)

    def _vacate(self, around: Neighbourhood, leaving: Tensor, born: Tensor) -> None:
        """Take the weights of who leaves or is about to return, and the optimiser's memory of them."""
        emptied = leaving & ~self.keeps_weights
        for listener in around.listeners:
            if around.exclusive:
                listener.silence(emptied)
                listener.reset_moments(emptied | born)
        for feeder in around.feeders:
            feeder.weight.masked_fill_(_rows_of(feeder.weight, emptied), 0)
            if feeder.bias is not None:
                feeder.bias.masked_fill_(emptied, 0)
            _forget(feeder.moments, emptied | born)

    def _redraw(self, weight: Tensor, fresh: Tensor, stream: int) -> None:
        """Draw the in-weights, (num_neurons, ...), of ``fresh`` neurons anew (He et al., 2015)."""
        drawn = he(counter.uniform(self.seed, self.steps, tuple(weight.shape), stream), weight[0].numel())
        weight.copy_(torch.where(_rows_of(weight, fresh), drawn.to(weight.dtype), weight))

    def _learn_outgoing(self, around: Neighbourhood, due: Tensor) -> None:
        """Norm of the weights to all who listen; ones where nobody is known to."""
        norms = [listener.norm() for listener in around.listeners]
        if norms:
            norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), dim=0)
            self.outgoing.copy_(torch.where(due, norm, self.outgoing))


_ACCOUNTS = (
    "activity",
    "penalty_form",
    "firing_prior",
    "unactivation_penalty",
    "stamina_decay",
    "outgoing",
    "gain",
    "reference",
    "mean_output",
    "age",
    "steps",
)


class _Accounting(torch.autograd.Function):
    """`_account` for one net, or for a stack at once: fewer and larger operations than `vmap` makes."""

    @staticmethod
    def forward(*tensors: Tensor) -> Tensor:
        _account(*tensors)
        return tensors[0].new_empty(0)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: object, output: object) -> None:
        pass

    @staticmethod
    def vmap(info: object, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        assert set(in_dims) == {0}, "nets are stacked along the first axis, every tensor of theirs"
        _account(*tensors)
        return tensors[0].new_empty(len(tensors[0]), 0), 0


def _account(
    y: Tensor,  # (..., b, j), outputs of a batch
    size: Tensor,
    alive: Tensor,  # (..., j)
    activity: Tensor,  # (...), as are all knobs but the prior
    penalty_form: Tensor,
    prior: Tensor,  # (..., j)
    penalty: Tensor,
    decay: Tensor,
    outgoing: Tensor,
    gain: Tensor,
    reference: Tensor,
    mean_output: Tensor,
    age: Tensor,
    steps: Tensor,
) -> None:
    """Add a batch of outputs to the stamina, in place.

    v_bj = activity_bj - penalty * c_b * [silent], with c_b after the penalty form; the firing prior p weighs
    the two terms by 2(1 - p) and 2p, which for frequencies is the log-odds rule [fires] - p.
    """
    penalty, decay = penalty.unsqueeze(-1), decay.unsqueeze(-1)
    living = alive.sum(-1, keepdim=True).clamp(min=1)
    use = used(y, size, living, outgoing, AnyChoice(activity), AnyChoice(penalty_form))
    v = 2 * (1 - prior) * use.by_neuron - 2 * prior * penalty * use.unpaid
    gain.mul_(decay).add_(v * alive)
    reference.mul_(decay).add_(use.mean * alive)
    mean_output.lerp_(use.output, MEAN_OUTPUT_RATE)
    age.add_(1)
    steps.add_(1)


class Stamina(_StaminaUnits):
    """ReLU units that die when unused and may return: ``Stamina(num_neurons, **knobs)`` is the ReLU.

    Takes and gives tensors with the neurons along ``dim``: (..., num_neurons), or with ``dim=1`` feature maps
    (batch, num_neurons, ...), whose channels are neurons and whose places are samples. Works alone in any
    PyTorch training: it counts, masks and lets neurons return with their old weights. What needs the layers
    around it (contribution, handover, fresh in-weights, settling, growth) needs `hebbevo.nn.attach`. Periods
    are in forward steps in training mode.

    Args:
        num_neurons: units of the layer, or channels.
        dim: axis of the neurons.
        seed: of the random events; by default drawn from PyTorch's generator.
        knobs: see ``Stamina.knobs``; ``firing_prior`` may be a sequence of ``num_neurons`` numbers.

    Raises:
        UsageError: unknown knob, or a value outside its range.
    """

    def transfer(self, x: Tensor) -> Tensor:
        """Rectify."""
        return x.relu()

    def size(self, y: Tensor) -> Tensor:
        """The outputs themselves."""
        return y


class InputStamina(_StaminaUnits):
    """Input units that die when unused: the identity, masked; arguments as for `Stamina`.

    An input is silent where it is zero, which a standardised constant feature always is.
    """

    def transfer(self, x: Tensor) -> Tensor:
        """Let the inputs through."""
        return x

    def size(self, y: Tensor) -> Tensor:
        """Absolute values."""
        return y.abs()


def _exactly(device: str) -> AbstractContextManager[None]:
    """Switch mixed precision off for a while, where it is on: entering `torch.autocast` costs."""
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_on else nullcontext()


def he(drawn: Tensor, inputs: int) -> Tensor:
    """Weights of neurons with so many inputs (He et al., 2015), from numbers of (0, 1)."""
    return (2 * drawn - 1) * math.sqrt(6 / inputs)


def _column(knob: Tensor) -> Tensor:
    """Lay a value a net along the axis of its neurons."""
    return knob.unsqueeze(-1)


def _forget(moments: tuple[Tensor, ...], neurons: Tensor) -> None:
    """Set to zero what the optimiser knows of ``neurons``, the first axis."""
    for moment in moments:
        moment.masked_fill_(_rows_of(moment, neurons), 0)


def _rows_of(weight: Tensor, neurons: Tensor) -> Tensor:
    """Lay ``neurons``, the first axis, along the axes of ``weight``."""
    return neurons.reshape(-1, *(1,) * (weight.dim() - 1))


def _numbers(prior: object) -> list[float]:
    given = prior.tolist() if isinstance(prior, Tensor) else prior
    return list(given) if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
