"""A search from its space to a confirmed front, in the cells of a notebook or as a script.

Editors that know ``# %%`` show its cells. As a script, it writes its figures beside the study.
"""

# %% The space: what is trained, and which constants are searched
import sys

import hebbevo

trials = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 100
space = {
    "name": "notebook",
    "task": {"dataset": "digits", "epochs": 5},
    "network": {"hidden": [32, 32]},
    "search": {"population": 10},
    "genome": {
        "unactivation_penalty": {"low": 0.01, "high": 100, "log": True},
        "hebbian_threshold": {"low": -1.0, "high": 1.0},
        "learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
    },
}

# %% The search; the same cell again continues it
study = hebbevo.search(space, trials=trials)
study

# %% What it has found
front = study.front()
print(front[["trial", "epoch", "accuracy", "survivors"]].to_string(index=False))

# %%
figure = study.plot.front()
figure.write_html("studies/notebook-front.html")
figure

# %%
figure = study.plot.slices()
figure.write_html("studies/notebook-slices.html")
figure

# %% What holds up: the most accurate network of the front, trained again under fresh seeds
study.confirm(replicates=2, trials=front.trial.tail(1))
print(study.confirmation.sentence)
study.front(confirmed=True)

# %% The network with the best confirmed accuracy, trained again
members = study.front(confirmed=True)
best = members.loc[members.confirmed_accuracy.idxmax()]
net = hebbevo.network(study, trial=best.trial, epoch=best.epoch)
print(f"trial {best.trial}: {hebbevo.count(net.network).neurons_alive['total']} neurons")
