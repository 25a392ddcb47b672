"""The structures of ``source/network.h``, member by member."""

from __future__ import annotations

import ctypes as c

MOST_LAYERS = 16
"""Layers that a network may have, the last one included."""

MOST_STATES = 4
"""Numbers that an optimiser may keep for each weight."""

BUFFERS = (
    "seen",
    "sum_output",
    "sum_size",
    "sum_variance",
    "sum_firing",
    "sum_gate_gradient",
    "seen_gradients",
    "mean_output",
    "gain",
    "reference",
    "outgoing",
    "silent",
)
"""What the engine gathers or keeps for each unit, by the names of the buffers of rules."""


class Units(c.Structure):
    """The units of a place."""

    _fields_ = (
        ("size", c.c_int32),
        ("living", c.c_int32),
        ("stride", c.c_int32),
        ("prunes", c.c_int32),
        ("numbers", c.c_void_p),
        ("age", c.c_void_p),
        ("alive", c.c_void_p),
        ("regrown", c.c_void_p),
        ("buffers", c.c_void_p * len(BUFFERS)),
        ("covariance", c.c_void_p),
        ("room", c.c_void_p),
        ("sizes", c.c_void_p),
        ("firing_prior", c.c_void_p),
        ("memory", c.c_float),
        ("stamina_decay", c.c_float),
        ("unactivation_penalty", c.c_float),
        ("p", c.c_float),
        ("q", c.c_float),
        ("r", c.c_float),
        ("s", c.c_float),
        ("u", c.c_float),
        ("ridge", c.c_float),
        ("belief", c.c_float),
        ("salient_weights", c.c_float),
        ("salient_gradients", c.c_float),
        ("activity", c.c_int32),
        ("penalty_form", c.c_int32),
        ("theta", c.c_void_p),
        ("theta_state", c.c_void_p * MOST_STATES),
        ("gate", c.c_void_p),
        ("gate_change", c.c_void_p),
        ("gate_start", c.c_float),
        ("gate_rate", c.c_float),
        ("gate_penalty", c.c_float),
        ("decay", c.c_void_p),
        ("shrinkage", c.c_void_p),
        ("noise", c.c_void_p),
        ("last_event", c.c_int64),
        ("events", c.c_void_p),
        ("left", c.c_void_p),
        ("is_last", c.c_void_p),
        ("score", c.c_int32),
        ("threshold", c.c_float),
        ("max_deaths", c.c_float),
        ("regrowth_rate", c.c_float),
        ("growth_rate", c.c_float),
        ("uses_target", c.c_int32),
        ("handover", c.c_int32),
        ("recycles", c.c_int32),
        ("measures_outgoing", c.c_int32),
        ("min_neurons", c.c_int64),
        ("grace", c.c_int64),
        ("grow", c.c_int64),
        ("patience", c.c_int64),
        ("seed", c.c_int64),
        ("best_loss", c.c_float),
        ("stalled", c.c_int64),
        ("allowed", c.c_int64),
    )


class Layer(c.Structure):
    """A layer of weights."""

    _fields_ = (
        ("stride", c.c_int32),
        ("weight", c.c_void_p),
        ("bias", c.c_void_p),
        ("weight_state", c.c_void_p * MOST_STATES),
        ("bias_state", c.c_void_p * MOST_STATES),
        ("weight_gradient", c.c_void_p),
        ("bias_gradient", c.c_void_p),
        ("connected", c.c_void_p),
        ("mask", c.c_void_p),
    )


class Network(c.Structure):
    """A network in training."""

    _fields_ = (
        ("layers", c.c_int32),
        ("states", c.c_int32),
        ("layer", Layer * MOST_LAYERS),
        ("place", Units * (MOST_LAYERS + 1)),
        ("activation", c.c_void_p * (MOST_LAYERS + 1)),
        ("error", c.c_void_p * (MOST_LAYERS + 1)),
        ("transposed", c.c_void_p),
        ("tile", c.c_void_p),
        ("order", c.c_void_p),
        ("columns", c.c_int64),
        ("optimizer", c.c_int32),
        ("learning_rate", c.c_float),
        ("weight_decay", c.c_float),
        ("momentum", c.c_float),
        ("step", c.c_int64),
        ("running_loss", c.c_float),
        ("stops", c.c_void_p),
        ("awaits_event", c.c_int32),
    )


class Data(c.Structure):
    """Rows with their labels or targets."""

    _fields_ = (
        ("x", c.c_void_p),
        ("features", c.c_int32),
        ("labels", c.c_void_p),
        ("targets", c.c_void_p),
        ("class_weights", c.c_void_p),
    )
