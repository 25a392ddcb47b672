"""An ordinary PyTorch training whose unused hidden neurons are pruned."""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from hebbevo import count
from hebbevo.nn import HebbMask, Stamina, attach

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
torch.manual_seed(0)

x, y = load_digits(return_X_y=True)
x = torch.tensor(x / 16, dtype=torch.float32)
x_train, x_val, y_train, y_val = train_test_split(x, torch.tensor(y), test_size=0.2, random_state=0)

knobs = {"unactivation_penalty": 3.0, "regrowth_rate": 0.01}
model = nn.Sequential(
    nn.Linear(64, 128),
    Stamina(128, **knobs),  # in place of nn.ReLU(): neurons are pruned and regrown
    nn.Linear(128, 128),
    Stamina(128, **knobs),
    HebbMask(nn.Linear(128, 10), ["weight"], permanence_rate=0.3),  # around a layer: connections are pruned
)
optimizer = torch.optim.AdamW(model.parameters())
attach(model, optimizer)  # one more line: neurons that return get fresh weights

for epoch in range(epochs):
    model.train()
    for rows in torch.randperm(len(x_train)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
        optimizer.step()
    model.eval()
    accuracy = (model(x_val).argmax(1) == y_val).float().mean()
    alive = [int(units.alive.sum()) for units in (model[1], model[3])]
    print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, neurons alive {alive}")

print(count(model).T)
