"""Stamina: balanced-ReLU accounting, death and regrowth of neurons (spell00/hebbLayers).

Every neuron has a stamina that grows when it is active and shrinks, by the unactivation penalty, when it is
not; a neuron whose stamina falls to the hebbian threshold dies. Changes against the original: stamina is
scale-free and may forget, neurons are masked (not sliced), statistics come from training batches only, and a
returning neuron is recycled as in ReDo (Sokar et al., 2023, arXiv:2302.12902).
"""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, cast

import torch
from torch import Tensor

from hebbevo.errors import UsageError
from hebbevo.knobs import Knob, Value, listed
from hebbevo.nn import counter
from hebbevo.nn.plastic import InjectedLoss, Neighbourhood, Plastic

_ACTIVATION, _FREQUENCY, _CONTRIBUTION = ACTIVITIES = ("activation", "frequency", "contribution")
_MEAN, _RATIO, _ZERO_SUM, _CONSTANT = PENALTY_FORMS = ("mean", "ratio", "zero_sum", "constant")
_AUTO, _FRESH, _OLD = REBIRTHS = ("auto", "fresh", "old")
_BIRTH_STREAM, _WEIGHT_STREAM = 1, 2
_MEAN_OUTPUT_RATE = 0.1
_DTYPES: dict[type, torch.dtype] = {
    float: torch.float32,
    int: torch.int64,
    bool: torch.bool,
    str: torch.int64,  # index of the choice
}

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
            "auto: fresh where the neighbours are known",
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


class _StaminaUnits(Plastic):
    """The rule, for units whose transfer function a subclass gives."""

    knobs: ClassVar[dict[str, Knob]] = KNOBS

    num_neurons: int
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
    growth_rate: Tensor
    patience: Tensor
    large_neuron_penalty: Tensor
    entropy_bonus: Tensor
    seed: Tensor
    total_steps: Tensor  # 0: not known
    age: Tensor  # (num_neurons,) int64, forward steps since the last return
    gain: Tensor  # (num_neurons,) decayed sum of v
    reference: Tensor  # (num_neurons,) decayed sum of the layer's mean activity
    mean_output: Tensor  # (num_neurons,) running mean that starts at zero
    outgoing: Tensor  # (num_neurons,) norm of the outgoing weights
    best_loss: Tensor
    stalled: Tensor  # events without a better loss

    def __init__(
        self, num_neurons: int, *, seed: int | None = None, **knobs: Value | Sequence[float] | Tensor
    ) -> None:
        super().__init__()
        self.num_neurons = num_neurons
        prior = knobs.pop("firing_prior", KNOBS["firing_prior"].default)
        values = {name: knob.default for name, knob in KNOBS.items() if name != "firing_prior"}
        values |= _checked(knobs)
        for name, value in values.items():
            knob = KNOBS[name]
            as_number = knob.choices.index(value) if knob.kind is str else value
            self.register_buffer(name, torch.tensor(as_number, dtype=_DTYPES[knob.kind]))
        self.register_buffer("firing_prior", _prior(prior, num_neurons))
        # structure, not hyperparameters: these decide what is computed, so nets that differ are not stacked
        self.regularised = bool(values["large_neuron_penalty"] or values["entropy_bonus"])
        self.attached = False
        self._wants = _wants(values)  # private, so that nets which differ in it are stacked

        draw = torch.randint(2**62, ()) if seed is None else torch.tensor(seed)
        self.register_buffer("seed", draw)
        self.register_buffer("total_steps", torch.tensor(0))
        self.register_buffer("steps", torch.tensor(0))
        born = torch.arange(num_neurons) < max(1, round(float(values["initial_neurons"]) * num_neurons))
        self.register_buffer("alive", born)
        self.register_buffer("age", torch.full((num_neurons,), 2**40))
        self.register_buffer("gain", torch.zeros(num_neurons))
        self.register_buffer("reference", torch.zeros(num_neurons))
        self.register_buffer("mean_output", torch.zeros(num_neurons))
        self.register_buffer("outgoing", torch.ones(num_neurons))
        self.register_buffer("best_loss", torch.tensor(float("inf")))
        self.register_buffer("stalled", torch.tensor(0))

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
        """Apply the transfer function and the mask to ``x``, (..., num_neurons); account in training mode.

        Raises:
            UsageError: a knob was set that needs what only `hebbevo.nn.attach` gives.
        """
        alive = self.alive.clone()  # the mask may change below, and the backward pass needs this one
        y = self.transfer(x) * alive
        if not self.training:
            return y
        if self._wants and not self.attached:
            raise UsageError(self._wants)
        if self.regularised:
            y = InjectedLoss.apply(y, self._regulariser(y, alive))  # type: ignore[no-untyped-call]
        with torch.no_grad(), _exactly(y.device.type):
            rows = y.detach().reshape(-1, self.num_neurons).to(self.gain.dtype)
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

    @torch.no_grad()
    def connect(self, around: Neighbourhood, total_steps: int) -> None:
        """Learn the outgoing weights' norms and how long the training is."""
        self.attached = True
        self.total_steps.fill_(total_steps)
        self.outgoing.copy_(around.out_weight.norm(dim=0))

    @torch.no_grad()
    def restructure(self, around: Neighbourhood) -> None:
        """Let neurons die and return, in place, if this is due at the present step."""
        self._live_and_die(around)

    def _regulariser(self, y: Tensor, alive: Tensor) -> Tensor:
        """Penalise large neurons, sum_j (m_j/mean - 1)^2, and low entropy of q_j = m_j / sum_k m_k."""
        output = y.reshape(-1, self.num_neurons).mean(0)
        living = alive.sum().clamp(min=1)
        share = output / output.sum().clamp(min=1e-12)
        large = ((share * living - 1).square() * alive).sum()
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        return self.large_neuron_penalty * large - self.entropy_bonus * entropy

    def _live_and_die(self, around: Neighbourhood | None) -> None:
        due = self.due(self.steps)
        stamina = self.stamina
        living = self.alive.sum()

        doomed = self.alive & (self.age >= self.grace) & (stamina <= self.hebbian_threshold)
        cap = (self.max_deaths * living).floor().clamp(min=1) * (self.max_deaths > 0)
        allowed = torch.minimum(cap, (living - self.min_neurons).clamp(min=0))
        weakest_first = torch.where(doomed, stamina, torch.inf).argsort(stable=True)
        dies = due & doomed & (weakest_first.argsort() < allowed)

        chance = self.regrowth_rate + self.growth_rate * self._has_stalled(due, around)
        draw = counter.uniform(self.seed, self.steps, (self.num_neurons,), _BIRTH_STREAM)
        born = due & ~self.alive & (draw < chance)

        if around is not None:
            self._rewire(around, due, dies, born)
        self.alive.copy_((self.alive & ~dies) | born)
        for statistic in (self.age, self.gain, self.reference, self.mean_output):
            statistic.masked_fill_(born, 0)

    def _has_stalled(self, due: Tensor, around: Neighbourhood | None) -> Tensor:
        if around is None or around.loss is None:
            return self.stalled >= self.patience
        better = around.loss < self.best_loss
        self.best_loss.copy_(torch.where(due & better, around.loss, self.best_loss))
        self.stalled.copy_(torch.where(due, torch.where(better, 0, self.stalled + 1), self.stalled))
        return self.stalled >= self.patience

    def _rewire(self, around: Neighbourhood, due: Tensor, dies: Tensor, born: Tensor) -> None:
        if around.out_bias is not None:
            # a running mean that began at zero has this much of its weight
            weight = 1 - (1 - _MEAN_OUTPUT_RATE) ** torch.minimum(self.age, self.steps)
            gone = self.mean_output / weight * (dies & self.handover)
            around.out_bias.add_(around.out_weight @ gone)
        fresh = born & (self.rebirth != REBIRTHS.index(_OLD))
        around.out_weight.masked_fill_(fresh, 0)
        if around.in_weight is not None:
            weight = around.in_weight
            drawn = counter.uniform(self.seed, self.steps, tuple(weight.shape), _WEIGHT_STREAM)
            drawn = (2 * drawn - 1) * (6.0 / weight.shape[1]) ** 0.5  # He et al., 2015
            weight.copy_(torch.where(fresh[:, None], drawn.to(weight.dtype), weight))
        if around.in_bias is not None:
            around.in_bias.masked_fill_(fresh, 0)
        for moment in around.in_moments:
            moment.masked_fill_(born.reshape(-1, *(1,) * (moment.dim() - 1)), 0)
        for moment in around.out_moments:
            moment.masked_fill_(born, 0)
        norm = around.out_weight.norm(dim=0)
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
    batch = y.shape[-2]
    activity, penalty_form, penalty, decay = (
        knob.unsqueeze(-1) for knob in (activity, penalty_form, penalty, decay)
    )
    fires = size.sign()
    firing = fires.sum(-1)  # (..., b)
    living = alive.sum(-1, keepdim=True).clamp(min=1)
    silent = living - firing
    mean = y.mean(-2)
    mean_size = mean if size is y else size.mean(-2)
    spread = (y.square().mean(-2) - mean.square()).clamp(min=0).sqrt() * outgoing
    spreads = spread.sum(-1, keepdim=True).expand_as(firing)

    by_sample = _chosen(activity, size.sum(-1), firing, spreads) / living
    level = _chosen(
        penalty_form,
        by_sample,
        by_sample * silent / firing.clamp(min=1),
        by_sample * living / silent.clamp(min=1),
        torch.ones_like(by_sample),
    )
    fired, used = (torch.stack((torch.ones_like(level), level), -2) @ fires / batch).unbind(-2)
    unused = level.mean(-1, keepdim=True) - used
    by_neuron = _chosen(activity, mean_size, fired, spread)

    v = 2 * (1 - prior) * by_neuron - 2 * prior * penalty * unused
    gain.mul_(decay).add_(v * alive)
    reference.mul_(decay).add_(by_sample.mean(-1, keepdim=True) * alive)
    mean_output.lerp_(mean, _MEAN_OUTPUT_RATE)
    age.add_(1)
    steps.add_(1)


def _chosen(index: Tensor, first: Tensor, *others: Tensor) -> Tensor:
    """Take ``first`` where ``index`` is 0, the next where it is 1, and so on."""
    for number, other in enumerate(others, start=1):
        first = torch.where(index == number, other, first)
    return first


class Stamina(_StaminaUnits):
    """ReLU units that die when unused and may return: ``Stamina(num_neurons, **knobs)`` is the ReLU.

    Takes and gives (..., num_neurons). Works alone in any PyTorch training: it counts, masks and lets neurons
    return with their old weights. What needs the layers around it (contribution, handover, fresh in-weights,
    settling, growth) needs `hebbevo.nn.attach`. Periods are in forward steps in training mode.

    Args:
        num_neurons: units of the layer.
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
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _checked(knobs: Mapping[str, object]) -> Mapping[str, Value]:
    for name, value in knobs.items():
        if name not in KNOBS:
            close = difflib.get_close_matches(name, KNOBS, 1)
            hint = f"did you mean {close[0]}?" if close else f"its knobs are {listed(list(KNOBS))}"
            raise UsageError(f"Stamina: unknown knob {name!r}; {hint}")
        if problem := KNOBS[name].problem(value):
            raise UsageError(f"Stamina: {name}: {problem}")
    return cast(Mapping[str, Value], knobs)


def _prior(prior: object, num_neurons: int) -> Tensor:
    given = prior.tolist() if isinstance(prior, Tensor) else prior
    numbers = list(given) if isinstance(given, list | tuple) else [given] * num_neurons
    if len(numbers) != num_neurons:
        raise UsageError(f"Stamina: firing_prior: {len(numbers)} numbers; give one or {num_neurons} of them")
    for number in numbers:
        if problem := KNOBS["firing_prior"].problem(number):
            raise UsageError(f"Stamina: firing_prior: {problem}")
    return torch.tensor(numbers, dtype=torch.float32)


def _wants(values: Mapping[str, Value]) -> str:
    asked = [
        text
        for wanted, text in (
            (values["activity"] == _CONTRIBUTION, f"activity={_CONTRIBUTION}"),
            (values["handover"], "handover"),
            (values["rebirth"] == _FRESH, f"rebirth={_FRESH}"),
            (values["settle"], "settle"),
            (values["growth_rate"], "growth_rate"),
        )
        if wanted
    ]
    if not asked:
        return ""
    return f"Stamina: {listed(asked)} needs the layers around it; call hebbevo.nn.attach(model, optimizer)"
