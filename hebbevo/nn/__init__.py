"""Plastic modules for any PyTorch network: drop in, attach, train."""

from hebbevo.nn.attachment import Attachment, attach
from hebbevo.nn.connections import HebbMask, PlasticConnections, masked, plastic_connections
from hebbevo.nn.credit import Credit, Credited, credited
from hebbevo.nn.plastic import Plastic, plastic_modules
from hebbevo.nn.units import Dense, InputStamina, PlasticUnits, Stamina, plastic_units, unit_layer

__all__ = [
    "Attachment",
    "Credit",
    "Credited",
    "Dense",
    "HebbMask",
    "InputStamina",
    "Plastic",
    "PlasticConnections",
    "PlasticUnits",
    "Stamina",
    "attach",
    "credited",
    "masked",
    "plastic_connections",
    "plastic_modules",
    "plastic_units",
    "unit_layer",
]
