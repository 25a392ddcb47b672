"""Plastic modules for any PyTorch network: put them in, attach them to an optimiser, train.

- `Stamina`, `InputStamina`, `Dense`, `PlasticUnits` and `unit_layer` are layers of units that a rule prunes.
- `HebbMask`, `PlasticConnections` and `masked` mask connections of layers, `rewire` those of a whole model.
- `credited` and its class `Credited` train a layer by a credit rule.
- `HebbianLinear` and `HebbianConv2d` learn by a Hebbian rule; `Triangle` and `KWinners` are activation
  functions behind them, `Whitening` and `PatchWhitening` fixed layers before them.
- `SimilarityMatchingLinear`, `SimilarityMatching2d` and `SimilarityMatchingNetwork` learn by themselves.
- `ActivationNoise` and `StructuredNoise` are noise on activations, `FeatureFlow` is a penalty on their path.
- `FeedbackLinear` and `FeedbackConv2d` are layers with backward weights of their own.
- `PlasticRNNCell` is a recurrent cell whose connections change while it runs.
- `attach` prunes and regrows after the optimiser's steps, with all layers around the plastic modules.
- `break_even_penalties` says where to begin the search for an unactivation penalty.
- `plastic_modules`, `plastic_units` and `plastic_connections` find plastic modules in a model.
"""

from hebbevo.nn.attachment import Attachment, attach
from hebbevo.nn.break_even import break_even_penalties
from hebbevo.nn.competition import KWinners, Triangle
from hebbevo.nn.connections import HebbMask, PlasticConnections, masked, plastic_connections
from hebbevo.nn.credit import Credit, Credited, credited
from hebbevo.nn.feature_flow import FeatureFlow, FlowPenalty
from hebbevo.nn.feedback import FeedbackConv2d, FeedbackLinear
from hebbevo.nn.hebbian_layers import HebbianConv2d, HebbianLinear
from hebbevo.nn.noise import ActivationNoise, StructuredNoise
from hebbevo.nn.plastic import Plastic, plastic_modules
from hebbevo.nn.plastic_rnn import PlasticRNNCell
from hebbevo.nn.rewiring import rewire
from hebbevo.nn.similarity_matching import (
    SimilarityMatching2d,
    SimilarityMatchingLinear,
    SimilarityMatchingNetwork,
)
from hebbevo.nn.units import Dense, InputStamina, PlasticUnits, Stamina, plastic_units, unit_layer
from hebbevo.nn.whitening import PatchWhitening, Whitening

__all__ = [
    "ActivationNoise",
    "Attachment",
    "Credit",
    "Credited",
    "Dense",
    "FeatureFlow",
    "FeedbackConv2d",
    "FeedbackLinear",
    "FlowPenalty",
    "HebbMask",
    "HebbianConv2d",
    "HebbianLinear",
    "InputStamina",
    "KWinners",
    "PatchWhitening",
    "Plastic",
    "PlasticConnections",
    "PlasticRNNCell",
    "PlasticUnits",
    "SimilarityMatching2d",
    "SimilarityMatchingLinear",
    "SimilarityMatchingNetwork",
    "Stamina",
    "StructuredNoise",
    "Triangle",
    "Whitening",
    "attach",
    "break_even_penalties",
    "credited",
    "masked",
    "plastic_connections",
    "plastic_modules",
    "plastic_units",
    "rewire",
    "unit_layer",
]
