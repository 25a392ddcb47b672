"""The settings and genes that a network is built from, for all of its layers or for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hebbevo.space.knobs import Value

Settings = Mapping[str, Value]
"""Values by name: the settings of a study, and the genes of one genome, which override them."""

READOUTS = DEFAULT_READOUT, FITTED_READOUT = "trained", "ridge"
"""Which head gives the accuracy: the one that learns by steps, or one that is fitted in closed form."""


def split_layer(name: str) -> tuple[str, int | None]:
    """Split the name of a setting of one layer into that of the setting and the number of the layer.

    >>> split_layer("grace.2"), split_layer("grace")
    (('grace', 2), ('grace', None))
    """
    stem, _, layer = name.rpartition(".")
    return (stem, int(layer)) if stem and layer.isdecimal() else (name, None)


def layer_settings(settings: Settings, names: Iterable[str], layer: int) -> dict[str, Value]:
    """Select the settings of one layer: its own value ``name.layer``, else the value of all layers.

    Args:
        settings: values by name.
        names: the names to select.
        layer: number of the layer, from 1; 0 is the input.

    Returns:
        The values by plain name; a name that has no value is left out.

    Example:
        >>> layer_settings({"grace": 7, "grace.2": 3, "depth": 4}, ["grace"], 2)
        {'grace': 3}
    """
    return {name: settings[key] for name in names for key in (name, f"{name}.{layer}") if key in settings}


def rule_of_layer(settings: Settings, axis: str, default: str, layer: int) -> str:
    """Name the rule on an axis for one layer.

    >>> rule_of_layer({"units.1": "usage"}, "units", "stamina", 1)
    'usage'

    Args:
        settings: values by name.
        axis: ``units``, ``connections`` or ``credit``.
        default: the rule of layers without a setting of their own.
        layer: number of the layer, from 1; 0 is the input.
    """
    return str(layer_settings(settings, [axis], layer).get(axis, default))
