"""The same training with Lightning, by the callback of `hebbevo.integrations.lightning`."""

import sys

import lightning
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hebbevo import compact, count
from hebbevo.integrations.lightning import Plasticity
from hebbevo.nn import Stamina


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        knobs = {"unactivation_penalty": 3.0, "regrowth_rate": 0.01, "settle": 0.3}
        self.net = nn.Sequential(
            nn.Linear(64, 128),
            Stamina(128, **knobs),
            nn.Linear(128, 128),
            Stamina(128, **knobs),
            nn.Linear(128, 10),
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.net.parameters())

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def validation_step(self, batch: list[Tensor]) -> None:
        x, y = batch
        self.log("accuracy", (self.net(x).argmax(1) == y).float().mean())


epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
lightning.seed_everything(0, verbose=False)

x, y = load_digits(return_X_y=True)
x = torch.tensor(x / 16, dtype=torch.float32)
x_train, x_val, y_train, y_val = train_test_split(x, torch.tensor(y), test_size=0.2, random_state=0)

model = Digits()
trainer = lightning.Trainer(
    accelerator="cpu",
    max_epochs=epochs,
    callbacks=[Plasticity()],  # all that is new
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(
    model,
    DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True),
    DataLoader(TensorDataset(x_val, y_val), batch_size=len(x_val)),
)
print(f"accuracy {trainer.callback_metrics['accuracy']:.3f}")
print(compact(model.net, x_val))  # what is left, in plain layers of PyTorch
print(count(model.net).T)
