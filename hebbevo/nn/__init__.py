"""Plastic modules for any PyTorch network: drop in, attach, train."""

from hebbevo.nn.attach import Attachment, attach
from hebbevo.nn.dense import Dense
from hebbevo.nn.hebb_mask import HebbMask
from hebbevo.nn.neighbours import Neighbours, find_neighbours, wire
from hebbevo.nn.plastic import (
    Feeder,
    Listener,
    Neighbourhood,
    Norm,
    Plastic,
    PlasticUnits,
    known_knobs,
    plastic_modules,
    plastic_units,
)
from hebbevo.nn.stamina import InputStamina, Stamina

__all__ = [
    "Attachment",
    "Dense",
    "Feeder",
    "HebbMask",
    "InputStamina",
    "Listener",
    "Neighbourhood",
    "Neighbours",
    "Norm",
    "Plastic",
    "PlasticUnits",
    "Stamina",
    "attach",
    "find_neighbours",
    "known_knobs",
    "plastic_modules",
    "plastic_units",
    "wire",
]
