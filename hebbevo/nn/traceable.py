"""Modules that a network without hebbevo can have as code of their own."""

from __future__ import annotations

from torch import nn


class Traceable(nn.Module):
    """A module that `torch.fx` can trace in evaluation mode.

    A network that is cut or exported has the traced module in its place, so no class of hebbevo is needed to
    load it.
    """
