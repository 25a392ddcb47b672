"""Layers that learn by similarity matching: Hebbian inputs, anti-Hebbian lateral inhibition, a fixed point.

Outputs r_t are to be as similar to one another as the inputs x_t are,

    min over r of sum_tt' (x_t . x_t' - r_t . r_t')^2,

in each place of an image by itself where connections are local. Each row runs to the fixed point of

    du/dt = -u + W x - (L - I) r,   r = f(gain u)    (1)

and then both kinds of connections are running means over minibatches,

    W += rate (<r x^T> - W),   L += rate / 2 (<r r^T> - L)    (2)

where there is a connection, and zero elsewhere. So they need no optimiser, and no loss. In a network of
layers p = 1..P with feedback gamma, u^p also takes gamma W^(p+1)^T r^(p+1), and for p < P the second mean is
that of (1 + gamma) r r^T.

Obeid, Ramambason & Pehlevan, 2019, arXiv:1910.04958; Pehlevan, Hu & Chklovskii, 2015, arXiv:1503.00669
(linear units).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hebbevo.errors import UsageError
from hebbevo.nn import surgery
from hebbevo.nn.plastic import known_on_host


class SimilarityMatching(nn.Module):
    """Units at sites, each with connections of its own; the base of the layers and no layer by itself.

    Two tensors are the state of learning, and no gradient moves them. In evaluation mode the fixed point is
    found by the same steps, and nothing changes.

    Attributes:
        weight: W, (sites * units, ...), the connections from the inputs; zero where there is none.
        lateral: L, (sites, units, neighbours * units), between units of one site and of its neighbours.
        activation: f.
        iterations: Euler steps towards the fixed point; always as many, so that stacks agree with nets alone.
        steps: () int64, minibatches learned so far.
        sites: their number.
        units: of a site.
        input_shape: of one row of its inputs.
        unit_axis: the axis of the outputs along which these lie, and of the inputs along which units lie that
            it reads, counted from the last.
        residual: (), the largest norm(du/dt) / norm(u) of a row of the last minibatch in training mode.
        unconverged: (), the share of its rows whose residual was above ``tolerance``.
    """

    unit_axis = -1

    input_shape: tuple[int, ...]
    weight: nn.Parameter
    lateral: nn.Parameter
    connected: Tensor
    linked: Tensor
    rate: Tensor
    rate_decay: Tensor
    gain: Tensor
    step: Tensor
    tolerance: Tensor
    steps: Tensor
    residual: Tensor
    unconverged: Tensor

    def __init__(
        self,
        weight: Tensor,
        connected: Tensor,
        neighbours: Tensor,
        units: int,
        *,
        activation: nn.Module | None,
        rate: float,
        rate_decay: float,
        gain: float,
        iterations: int,
        step: float,
        tolerance: float,
    ) -> None:
        """Make the layer.

        Args:
            weight: as it is before the first minibatch.
            connected: bool, which connections there are, of its shape.
            neighbours: (sites, m) int64, sites whose units inhibit those of each site, itself among them;
                the number of sites stands for none.
            units: of a site.
            activation: f, which must not decrease; tanh by default.
            rate: of both running means in a minibatch.
            rate_decay: the rate of minibatch t is ``rate / (1 + rate_decay t)``.
            gain: the factor of u before f.
            iterations: see the attribute.
            step: of Euler's method; made shorter where lateral inhibition is so strong that it would diverge.
            tolerance: see `unconverged`.
        """
        super().__init__()
        sites, m = neighbours.shape
        title = type(self).__name__
        positive = {"inputs": math.prod(weight.shape[1:]), "units": units, "gain": gain}
        positive |= {"iterations": iterations, "step": step, "tolerance": tolerance}
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise UsageError(f"{title}: {name} is {value}; give a number above 0")
        if iterations != int(iterations):
            raise UsageError(f"{title}: iterations is {iterations}; give a whole number")
        if not 0 < rate <= 1:
            raise UsageError(f"{title}: rate is {rate}; give a number above 0, at most 1")
        if not 0 <= rate_decay < math.inf:
            raise UsageError(f"{title}: rate_decay is {rate_decay}; give 0 or more")
        if not isinstance(activation, nn.Module | None):
            raise UsageError(f"{title}: activation is {activation!r}; give a module, such as nn.ReLU()")
        self.sites, self.units, self.iterations = sites, units, int(iterations)
        self.activation = nn.Tanh() if activation is None else activation
        self.weight = nn.Parameter(torch.where(connected, weight, 0), requires_grad=False)
        self.register_buffer("connected", connected, persistent=False)
        self.register_buffer("neighbours", neighbours, persistent=False)
        linked = (neighbours < sites).repeat_interleave(units, 1)[:, None].repeat(1, units, 1)
        self.register_buffer("linked", linked, persistent=False)
        own = (neighbours == torch.arange(sites)[:, None]).to(weight.dtype)
        identity = torch.einsum("sm,ij->simj", own, torch.eye(units, dtype=weight.dtype))
        self.lateral = nn.Parameter(identity.reshape(sites, units, m * units), requires_grad=False)
        self.register_buffer("identity", self.lateral.detach().clone(), persistent=False)
        for name, number in {
            "rate": rate,
            "rate_decay": rate_decay,
            "gain": gain,
            "step": step,
            "tolerance": tolerance,
            "residual": 0.0,
            "unconverged": 0.0,
        }.items():
            self.register_buffer(name, torch.tensor(float(number)))
        self.register_buffer("steps", torch.tensor(0))
        self._has_warned = False

    def forward(self, x: Tensor) -> Tensor:
        """Find the fixed point; in training mode, learn from it.

        Args:
            x: a minibatch of inputs.

        Returns:
            r of all units.

        Raises:
            UsageError: inputs of another shape than the layer was made for.
        """
        return _run([self], x, self.iterations, None)[-1]

    @torch.no_grad()
    def residuals(self, x: Tensor) -> Tensor:
        """How far each row is from its fixed point after all iterations, (rows,): norm(du/dt) / norm(u).

        Args:
            x: a minibatch of inputs.
        """
        circuit = _Circuit([self], None)
        potentials = circuit.settled(x, self.iterations)
        return circuit.residuals(x, potentials)[0]

    def lateral_correlation(self) -> Tensor:
        """Running correlation of each pair of units that inhibit each other, of the shape of ``lateral``.

        Pairs that are much alike are redundant.
        """
        own = self.lateral.detach().mul(self.identity_of_units()).sum(-1)  # (sites, units)
        deviation = own.clamp(min=1e-12).sqrt()
        of_neighbours = self.gathered(deviation[:, None])[:, 0]
        return torch.where(self.linked, self.lateral.detach(), 0) / (
            deviation[..., None] * of_neighbours[:, None].clamp(min=1e-6)
        )

    def by_unit(self, values: Tensor) -> Tensor:
        """Values of the shape of ``weight`` with leading axes, as a view: (..., units, sites, *rest)."""
        lead = values.dim() - self.weight.dim()
        split: Tensor = values.unflatten(lead, (self.sites, self.units))  # type: ignore[no-untyped-call]
        return split.movedim(lead + 1, lead)

    def lateral_covariance(self, lateral: Tensor) -> Tensor:
        """The running second moment of pairs of units of one site, as a mean over sites, (..., units, units).

        Args:
            lateral: L with leading axes.
        """
        neighbours = cast(Tensor, self.neighbours)
        own = neighbours == torch.arange(self.sites, device=neighbours.device)[:, None]
        blocks: Tensor = lateral.unflatten(-1, (-1, self.units))  # type: ignore[no-untyped-call]
        return torch.einsum("...sjmi,sm->...ji", blocks, own.to(lateral)) / self.sites

    # the circuit: states are (sites, rows, units)

    def drive(self, x: Tensor, weight: Tensor) -> Tensor:
        """W x, (sites, rows, units)."""
        raise NotImplementedError

    def back(self, state: Tensor, weight: Tensor) -> Tensor:
        """W^T r, of the shape of the inputs."""
        raise NotImplementedError

    def coactivation(self, state: Tensor, x: Tensor) -> Tensor:
        """The mean over rows of r x^T, of the shape of the weight."""
        raise NotImplementedError

    def as_output(self, state: Tensor) -> Tensor:
        """A state in the shape of the outputs."""
        raise NotImplementedError

    def as_state(self, output: Tensor) -> Tensor:
        """What has the shape of the outputs as a state."""
        raise NotImplementedError

    def identity_of_units(self) -> Tensor:
        """I, of the shape of ``lateral``."""
        return cast(Tensor, self.identity)

    def inhibition_weights(self) -> Tensor:
        """L - I, of the shape of ``lateral``; zero to and from units that have no input.

        Such a unit is silent: it has been pruned, or reads only the border of the images.
        """
        return (self.lateral.detach() - self.identity_of_units()) * self._both_present()

    def _present(self) -> Tensor:
        """Which units have an input, (sites, 1, units), as numbers."""
        present = (self.weight.detach() != 0).flatten(1).any(1)
        return present.reshape(self.sites, 1, self.units).to(self.lateral.dtype)

    def _both_present(self) -> Tensor:
        """Which pairs of units both have an input, of the shape of ``lateral``, as numbers."""
        present = self._present()
        return present.movedim(1, 2) * self.gathered(present)

    def gathered(self, state: Tensor) -> Tensor:
        """The states of the neighbours of each site side by side, (sites, rows, neighbours * units)."""
        neighbours = cast(Tensor, self.neighbours)
        if neighbours.shape[1] == 1:  # each site has only itself
            return state
        padded = torch.cat([state, torch.zeros_like(state[:1])])
        around = padded.index_select(0, neighbours.flatten())
        around = around.reshape(*neighbours.shape, state.shape[1], self.units)  # (sites, m, rows, units)
        return around.movedim(1, 2).flatten(2)

    def learn(self, x: Tensor, state: Tensor, factor: Tensor | float, share: Tensor | float) -> None:
        """Move both running means towards this minibatch, in place (equation 2).

        A unit without an input does not learn, and its row and column of L are those of the identity, with
        which it begins anew should it have an input again.

        Args:
            x: inputs, without a graph.
            state: r at the fixed point.
            factor: of the rate.
            share: of itself by which L decays, 1 / (1 + gamma) where a layer follows.
        """
        rate = (factor * self.rate / (1 + self.rate_decay * self.steps)).clamp(max=1)
        state = state * self._present()
        change = self.coactivation(state, x) - self.weight
        pairs = state.mT @ self.gathered(state) / state.shape[1]
        anew = self.identity_of_units() - self.lateral
        lateral = torch.where(self._both_present() > 0, rate / 2 * (pairs - share * self.lateral), anew)
        lateral = torch.where(self.linked, lateral, 0)
        updates = (self.weight, rate * torch.where(self.connected, change, 0)), (self.lateral, lateral)
        surgery.add_updates(updates)
        self.steps.add_(1)

    def keep_residuals(self, residuals: Tensor) -> None:
        """Keep the residuals of a minibatch, (rows,), in the buffers; warn once if rows do not converge."""
        self.residual.copy_(residuals.amax())
        self.unconverged.copy_((residuals > self.tolerance).float().mean())
        if not self._has_warned and known_on_host(self.residual) and bool(self.unconverged > 0):
            self._has_warned = True
            what = f"{type(self).__name__}: {float(self.unconverged):.0%} of the rows have not converged"
            warnings.warn(
                f"{what} (residual {float(self.residual):.1g}, tolerance {float(self.tolerance):.1g}); "
                "give more iterations, or read .residual and .unconverged later",
                stacklevel=2,
            )

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"sites={self.sites}, units={self.units}, iterations={self.iterations}"


class SimilarityMatchingLinear(SimilarityMatching):
    """A fully connected layer that learns by similarity matching; takes the place of a linear layer.

    In training mode a forward pass learns from its minibatch. No gradient moves the weights; one passes to
    the layers before, through the iterations. Where ``activation`` is the identity, outputs span the
    principal subspace of the inputs.

    Args:
        in_features: inputs of a row.
        out_features: units, each of which inhibits all others.
        activation: f, which must not decrease; ``nn.Tanh()`` by default, ``nn.ReLU()`` for a rectifier.
        rate: of the running means in a minibatch, 0 to 1.
        rate_decay: the rate of minibatch t is ``rate / (1 + rate_decay t)``.
        gain: the factor of a potential before f; sensible .5 to 2.
        iterations: Euler steps to the fixed point.
        step: of Euler's method, at most; it is shorter where inhibition is strong.
        tolerance: a row has converged where norm(du/dt) / norm(u) is not above this.

    Raises:
        UsageError: a value outside its range.

    >>> import torch
    >>> from hebbevo.nn import SimilarityMatchingLinear
    >>> layer = SimilarityMatchingLinear(8, 3, tolerance=0.1)
    >>> layer(torch.randn(16, 8)).shape
    torch.Size([16, 3])
    >>> int(layer.steps)
    1
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: nn.Module | None = None,
        rate: float = 0.1,
        rate_decay: float = 0.0,
        gain: float = 1.0,
        iterations: int = 60,
        step: float = 0.3,
        tolerance: float = 1e-2,
    ) -> None:
        weight = torch.randn(out_features, in_features) / math.sqrt(in_features)
        super().__init__(
            weight,
            torch.ones_like(weight, dtype=torch.bool),
            torch.zeros(1, 1, dtype=torch.int64),
            out_features,
            activation=activation,
            rate=rate,
            rate_decay=rate_decay,
            gain=gain,
            iterations=iterations,
            step=step,
            tolerance=tolerance,
        )
        self.in_features, self.out_features = in_features, out_features
        self.input_shape = (in_features,)

    def drive(self, x: Tensor, weight: Tensor) -> Tensor:
        """See the base."""
        return F.linear(x, weight)[None]

    def back(self, state: Tensor, weight: Tensor) -> Tensor:
        """See the base."""
        return state[0] @ weight

    def coactivation(self, state: Tensor, x: Tensor) -> Tensor:
        """See the base."""
        return state[0].mT @ x / len(x)

    def as_output(self, state: Tensor) -> Tensor:
        """(rows, units)."""
        return state[0]

    def as_state(self, output: Tensor) -> Tensor:
        """See the base."""
        return output[None]


class SimilarityMatching2d(SimilarityMatching):
    """Units at sites of an image, each with its own local connections, that learn by similarity matching.

    A site lies in the middle of every ``stride`` x ``stride`` pixels. Its units read the pixels in a disc
    around it, and inhibit one another, or all units within a lateral radius. Weights are not shared between
    sites, unlike those of a convolution, so the size of the images is fixed. The rest is as for
    `SimilarityMatchingLinear`.

    Takes (rows, in_channels, height, width), gives (rows, units_per_site, height // stride, width // stride).

    Args:
        in_channels: of the images.
        size: height and width, or one number for both.
        units_per_site: units of a site, the channels of the output.
        radius: of the disc, in pixels; sensible 2 to 14.
        stride: distance of sites, in pixels.
        lateral_radius: distance up to which sites inhibit one another, in pixels; 0: within a site only.
        activation: see `SimilarityMatchingLinear`, and so for all that follow.
        rate: see there.
        rate_decay: see there.
        gain: see there.
        iterations: see there.
        step: see there.
        tolerance: see there.

    Raises:
        UsageError: a value outside its range, or a site whose disc has no pixel.

    >>> import torch
    >>> from hebbevo.nn import SimilarityMatching2d
    >>> layer = SimilarityMatching2d(1, 8, 4, radius=3, stride=2, tolerance=0.1)
    >>> layer(torch.rand(16, 1, 8, 8)).shape
    torch.Size([16, 4, 4, 4])
    """

    unit_axis = -3

    def __init__(
        self,
        in_channels: int,
        size: int | tuple[int, int],
        units_per_site: int,
        radius: float = 4.0,
        stride: int = 2,
        *,
        lateral_radius: float = 0.0,
        activation: nn.Module | None = None,
        rate: float = 0.1,
        rate_decay: float = 0.0,
        gain: float = 1.0,
        iterations: int = 60,
        step: float = 0.3,
        tolerance: float = 1e-2,
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        if stride < 1 or min(height, width) < stride:
            raise UsageError(f"SimilarityMatching2d: stride is {stride}; give 1 to {min(height, width)}")
        for name, value in {"radius": radius, "lateral_radius": lateral_radius}.items():
            if not 0 <= value < math.inf:
                raise UsageError(f"SimilarityMatching2d: {name} is {value}; give 0 or more")
        grid = height // stride, width // stride
        centres = _points(*grid).mul(stride) + (stride - 1) / 2  # in the middle of their pixels
        near, fan_in = _within(centres, _points(height, width), radius)
        if not bool((fan_in > 0).all()):
            raise UsageError(f"SimilarityMatching2d: radius is {radius}, and a disc has no pixel; give more")
        neighbours, _ = _within(centres, centres, lateral_radius)
        sites, reach = near.shape
        mean_fan_in = in_channels * float(fan_in.float().mean())
        connected = (near < height * width)[:, None, None].expand(-1, units_per_site, in_channels, -1)
        weight = torch.randn(sites * units_per_site, in_channels, reach) / math.sqrt(mean_fan_in)
        super().__init__(
            weight,
            connected.reshape(weight.shape),
            neighbours,
            units_per_site,
            activation=activation,
            rate=rate,
            rate_decay=rate_decay,
            gain=gain,
            iterations=iterations,
            step=step,
            tolerance=tolerance,
        )
        self.in_channels, self.size, self.grid = in_channels, (height, width), grid
        self.input_shape = (in_channels, height, width)
        self.register_buffer("near", near, persistent=False)

    def drive(self, x: Tensor, weight: Tensor) -> Tensor:
        """See the base."""
        patches = self._patches(x)  # (rows, channels, sites, pixels)
        if self.training:  # products in a batch: fourteen times as fast as the convolution
            by_site = weight.reshape(self.sites, self.units, -1)
            return patches.movedim(2, 0).flatten(2) @ by_site.mT
        # as a convolution in groups, which everything that looks into networks knows
        columns = patches.movedim(2, 1).flatten(1, 2)  # (rows, sites * channels, pixels)
        found = F.conv1d(columns, weight, groups=self.sites)
        return found.reshape(x.shape[0], self.sites, self.units).movedim(0, 1)

    def back(self, state: Tensor, weight: Tensor) -> Tensor:
        """See the base."""
        rows = state.shape[1]
        height, width = self.size
        by_site = weight.reshape(self.sites, self.units, -1)
        patches = (state @ by_site).reshape(self.sites, rows, self.in_channels, -1)
        patches = patches.movedim(0, 2).flatten(2)  # (rows, channels, sites * pixels)
        pixels = patches.new_zeros(rows, self.in_channels, height * width + 1)
        summed = pixels.index_add(2, cast(Tensor, self.near).flatten(), patches)
        return summed[..., :-1].reshape(rows, self.in_channels, height, width)

    def coactivation(self, state: Tensor, x: Tensor) -> Tensor:
        """See the base."""
        patches = self._patches(x).movedim(2, 0).flatten(2)  # (sites, rows, channels * pixels)
        return (state.mT @ patches / len(x)).reshape(self.weight.shape)

    def as_output(self, state: Tensor) -> Tensor:
        """(rows, units, height, width)."""
        return state.movedim(0, 2).reshape(state.shape[1], self.units, *self.grid)

    def as_state(self, output: Tensor) -> Tensor:
        """See the base."""
        return output.flatten(2).movedim(2, 0)

    def _patches(self, x: Tensor) -> Tensor:
        """The pixels that each site reads, (rows, channels, sites, pixels); zero beyond the border."""
        near = cast(Tensor, self.near)
        flat = x.flatten(2)
        padded = torch.cat([flat, torch.zeros_like(flat[..., :1])], 2)
        return padded.index_select(2, near.flatten()).reshape(x.shape[0], self.in_channels, *near.shape)


class SimilarityMatchingNetwork(nn.Module):
    """Layers of similarity matching that settle together, with feedback from each to the one before.

    The rate of layer p of P has the factor gamma^(p - P), and is at most 1. Without feedback, gamma = 0, the
    layers do not depend on those above, and the factor is 1.

    Attributes:
        feedback: (), gamma.
        iterations: Euler steps; as many as the layer with the most has, times the number of layers.

    Args:
        layers: the first reads the inputs, each other one the outputs of the one before.
        feedback: gamma, 0 to 1.

    Raises:
        UsageError: what is not a layer of similarity matching, one that is there twice, or ``feedback`` is
            outside its range.

    >>> import torch
    >>> from hebbevo.nn import SimilarityMatchingLinear, SimilarityMatchingNetwork
    >>> layers = [SimilarityMatchingLinear(*sizes, tolerance=0.1) for sizes in ((8, 6), (6, 3))]
    >>> SimilarityMatchingNetwork(*layers, feedback=0.2)(torch.randn(16, 8)).shape
    torch.Size([16, 3])
    """

    feedback: Tensor

    def __init__(self, *layers: SimilarityMatching, feedback: float = 0.0) -> None:
        super().__init__()
        if not layers or not all(isinstance(layer, SimilarityMatching) for layer in layers):
            what = "give layers such as SimilarityMatching2d"
            raise UsageError(f"SimilarityMatchingNetwork: it has layers of similarity matching only; {what}")
        if len({*layers}) < len(layers):
            raise UsageError("SimilarityMatchingNetwork: a layer is there twice; give each place its own")
        if not 0 <= feedback <= 1:
            raise UsageError(f"SimilarityMatchingNetwork: feedback is {feedback}; give a number from 0 to 1")
        self.layers = nn.ModuleList(layers)
        self.register_buffer("feedback", torch.tensor(float(feedback)))
        self.iterations = len(layers) * max(layer.iterations for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """Find the fixed point of all layers; in training mode, learn from it.

        Args:
            x: a minibatch of inputs of the first layer.

        Returns:
            r of the last layer.
        """
        return self.outputs(x)[-1]

    def outputs(self, x: Tensor) -> list[Tensor]:
        """As `forward`, with r of every layer."""
        return _run(self._all(), x, self.iterations, self.feedback)

    @torch.no_grad()
    def residuals(self, x: Tensor) -> Tensor:
        """How far each row is from its fixed point, (layers, rows): norm(du/dt) / norm(u).

        Args:
            x: a minibatch of inputs of the first layer.
        """
        circuit = _Circuit(self._all(), self.feedback)
        return torch.stack(circuit.residuals(x, circuit.settled(x, self.iterations)))

    def _all(self) -> list[SimilarityMatching]:
        return cast(list[SimilarityMatching], [*self.layers])


class _Circuit:
    """Layers that settle together.

    Args:
        layers: the first reads the inputs, each other one the outputs of the one before.
        feedback: gamma; ``None`` where there is one layer.
    """

    def __init__(self, layers: Sequence[SimilarityMatching], feedback: Tensor | None) -> None:
        self.layers = layers
        self.feedback = feedback
        # weights change before the backward pass, which needs those of now
        self._weights = [layer.weight.clone() if layer.training else layer.weight for layer in layers]
        self._inhibition = [layer.inhibition_weights() for layer in layers]
        # norm(du/dt) grows with the largest eigenvalue of the inhibition, of which this is a bound
        self._steps = [
            torch.minimum(layer.step, 1 / (1 + weights.abs().sum(-1).amax((0, 1))))
            for layer, weights in zip(layers, self._inhibition, strict=True)
        ]

    def settled(self, x: Tensor, iterations: int) -> list[Tensor]:
        """The potentials u of each layer after so many Euler steps from zero, (sites, rows, units)."""
        drive = self._drive(0, x)
        potentials = [torch.zeros_like(drive)]
        for number, below in enumerate(self.layers[:-1], start=1):
            potentials.append(torch.zeros_like(self._drive(number, below.as_output(potentials[-1]))))
        for _ in range(iterations):
            changes = self._changes(drive, potentials)
            potentials = [u + step * du for u, step, du in zip(potentials, self._steps, changes, strict=True)]
        return potentials

    def rates(self, potentials: Sequence[Tensor]) -> list[Tensor]:
        """The outputs r of each layer, as states."""
        return [layer.activation(layer.gain * u) for layer, u in zip(self.layers, potentials, strict=True)]

    def residuals(self, x: Tensor, potentials: Sequence[Tensor]) -> list[Tensor]:
        """norm(du/dt) / norm(u) of each row, (rows,), by layer."""
        changes = self._changes(self._drive(0, x), potentials)
        return [
            du.square().sum((0, 2)).sqrt() / u.square().sum((0, 2)).sqrt().clamp(min=1e-12)
            for du, u in zip(changes, potentials, strict=True)
        ]

    def _changes(self, drive: Tensor, potentials: Sequence[Tensor]) -> list[Tensor]:
        """du/dt of each layer (equation 1)."""
        rates = self.rates(potentials)
        found = []
        for number, (layer, u, r) in enumerate(zip(self.layers, potentials, rates, strict=True)):
            if number:
                drive = self._drive(number, self.layers[number - 1].as_output(rates[number - 1]))
            change = drive - u - layer.gathered(r) @ self._inhibition[number].mT
            if self.feedback is not None and number + 1 < len(self.layers):
                back = self.layers[number + 1].back(rates[number + 1], self._weights[number + 1])
                change = change + self.feedback * layer.as_state(back)
            found.append(change)
        return found

    def _drive(self, number: int, x: Tensor) -> Tensor:
        layer = self.layers[number]
        if isinstance(x, Tensor) and x.shape[1:] != layer.input_shape:  # what torch.fx gives has no shape
            wanted = ", ".join(map(str, ("rows", *layer.input_shape)))
            what = f"inputs have the shape {tuple(x.shape)}; give ({wanted})"
            raise UsageError(f"{type(layer).__name__}: {what}")
        return layer.drive(x, self._weights[number])


def _run(
    layers: Sequence[SimilarityMatching], x: Tensor, iterations: int, feedback: Tensor | None
) -> list[Tensor]:
    """Settle layers together and return their outputs; those in training mode learn."""
    learning = any(layer.training for layer in layers) and x.numel()  # without rows nothing is learned
    circuit = _Circuit(layers, feedback)
    potentials = circuit.settled(x, iterations)
    rates = circuit.rates(potentials)
    outputs = [layer.as_output(r) for layer, r in zip(layers, rates, strict=True)]
    if learning:
        with torch.no_grad():
            residuals = circuit.residuals(x, potentials)
            gamma = torch.zeros_like(layers[0].rate) if feedback is None else feedback
            for number, layer in enumerate(layers):
                if layer.training:
                    below = x if number == 0 else outputs[number - 1]
                    above = len(layers) - 1 - number
                    factor = torch.where(gamma > 0, gamma.clamp(min=1e-30) ** -above, 1.0)
                    share = 1 / (1 + gamma) if above else 1.0
                    layer.keep_residuals(residuals[number])
                    layer.learn(below.detach(), rates[number].detach(), factor, share)
    return outputs


def _points(height: int, width: int) -> Tensor:
    """Row and column of every place of a grid, (places, 2)."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2).float()


def _within(centres: Tensor, points: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """The points not further than a radius from each centre.

    Returns:
        Their numbers, (centres, most), in ascending order, then the number of points where there are fewer;
        and how many there are, (centres,).
    """
    # distances are of half pixels, which floats hold exactly
    inside = (centres[:, None] - points).square().sum(-1) <= radius**2
    number = inside.sum(1)
    numbers = torch.where(inside, torch.arange(len(points)), len(points)).sort(1).values
    return numbers[:, : int(number.max())], number
