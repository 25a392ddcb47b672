"""Plastic modules for any PyTorch network: drop in, attach, train."""

from hebbevo.nn.attach import Attachment, attach
from hebbevo.nn.dense import Dense
from hebbevo.nn.neighbours import Neighbours, find_neighbours
from hebbevo.nn.plastic import Neighbourhood, Plastic, plastic_modules
from hebbevo.nn.stamina import InputStamina, Stamina

__all__ = [
    "Attachment",
    "Dense",
    "InputStamina",
    "Neighbourhood",
    "Neighbours",
    "Plastic",
    "Stamina",
    "attach",
    "find_neighbours",
    "plastic_modules",
]
