"""The same training with skorch, by the callback of `hebbevo.integrations.skorch`."""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn

from hebbevo import compact, count
from hebbevo.integrations.skorch import Plasticity
from hebbevo.nn import Stamina


def build(hidden: int = 128, **knobs: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, hidden),
        Stamina(hidden, **knobs),
        nn.Linear(hidden, hidden),
        Stamina(hidden, **knobs),
        nn.Linear(hidden, 10),
    )


epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
torch.manual_seed(0)

x, y = load_digits(return_X_y=True)
x_train, x_val, y_train, y_val = train_test_split(x.astype("float32") / 16, y, test_size=0.2, random_state=0)

net = NeuralNetClassifier(
    build,
    module__unactivation_penalty=3.0,
    module__regrowth_rate=0.01,
    module__settle=0.3,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.AdamW,
    lr=1e-3,
    batch_size=64,
    max_epochs=epochs,
    iterator_train__shuffle=True,
    train_split=None,
    callbacks=[Plasticity],  # all that is new
    verbose=0,
)
net.fit(x_train, y_train)
print(f"accuracy {net.score(x_val, y_val):.3f}")
print(compact(net.module_, torch.tensor(x_val)))  # what is left, in plain layers of PyTorch
print(count(net.module_).T)
