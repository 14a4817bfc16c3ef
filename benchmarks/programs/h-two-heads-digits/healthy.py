import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
raw = load_digits()
perm = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x = torch.tensor(raw.images, dtype=torch.float32).sub(4.9).div(6.0).unsqueeze(1)[perm]
digit = torch.tensor(raw.target)[perm]
ink = (torch.tensor(raw.data).mean(1) - 4.884).float().div(0.84)[perm]


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.mid = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.fc = nn.Linear(24 * 16, 48)
        self.which = nn.Linear(48, 10)
        self.how_dark = nn.Linear(48, 1)

    def forward(self, x):
        h = F.relu(self.mid(F.relu(self.stem(x)))).flatten(1)
        h = F.relu(self.fc(h))
        return {"digit": self.which(h), "ink": self.how_dark(h).squeeze(1)}


class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def training_step(self, rows):
        out = self.model(x[rows])
        return F.cross_entropy(out["digit"], digit[rows]) + 0.3 * F.mse_loss(out["ink"], ink[rows])

    def fit(self, epochs):
        for epoch in range(epochs):
            self.model.train()
            for rows in torch.randperm(1400).split(35):
                self.optimizer.zero_grad()
                loss = self.training_step(rows)
                loss.backward()
                self.optimizer.step()
            print("epoch", epoch, "loss %.4f" % loss.item())

    @torch.no_grad()
    def test(self):
        self.model.eval()
        out = self.model(x[1400:])
        return (out["digit"].argmax(1) == digit[1400:]).float().mean().item()


trainer = Trainer(TwoHeads())
trainer.fit(10)
print("metric: accuracy %.4f" % trainer.test())
