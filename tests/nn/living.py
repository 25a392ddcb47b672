"""What counts of a network's state: tests of several packages compare it."""


def of_the_living(state):
    """What of a state counts: weights between living units, and their statistics while an event may come."""
    kept = {name: value.clone() for name, value in state.items()}

    def of_layer(layer):
        """What a layer has for each connection, or for each unit: (outputs, inputs) or (outputs,)."""
        names = [name for name in kept if name.startswith(f"{layer}.") and kept[name].dim() > 0]
        return [kept[name] for name in names]

    for unit in {name.rpartition(".")[0] for name in state if name.endswith(".alive")}:
        dead, place = ~state[f"{unit}.alive"], -1 if unit == "inputs" else int(unit.split(".")[1])
        following = f"layers.{place + 1}"
        behind = following if any(name.startswith(f"{following}.") for name in state) else "head"
        for tensor in of_layer(behind):
            if tensor.dim() > 1:
                tensor[:, dead] = 0
        for tensor in of_layer(f"layers.{place}") if place >= 0 else ():
            tensor[dead] = 0
        settles = state[f"{unit}.settle"] > 0
        for name, value in kept.items():
            if (
                name.rpartition(".")[0] == unit
                and value.dim()
                and not name.endswith((".alive", ".firing_prior"))
            ):
                value.masked_fill_(dead | settles, 0)
                if value.dim() > 1:  # of pairs of units
                    value.mT.masked_fill_(dead | settles, 0)
        # what no knob asks for need not be gathered
        for name, asked in (("mean_output", "handover"), ("outgoing", "activity")):
            if (
                f"{unit}.{name}" in kept
                and state[f"{unit}.{asked}"] != {"handover": True, "activity": 2}[asked]
            ):
                kept[f"{unit}.{name}"].zero_()
    return kept
