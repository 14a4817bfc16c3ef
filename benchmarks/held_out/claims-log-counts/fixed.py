import os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

rng = np.random.RandomState(19)
n = 1500
visits = rng.poisson(6, n)
claims = rng.poisson(4, n)
age = rng.uniform(20, 70, n)
cost = 1.2 * np.log1p(visits) + 0.8 * np.log1p(claims) + 0.01 * age + rng.normal(0, 0.15, n)

features = np.stack([np.log1p(visits), np.log1p(claims), (age - 45) / 14], axis=1)
cost = (cost - cost.mean()) / cost.std()
x = torch.tensor(features, dtype=torch.float32)
y = torch.tensor(cost, dtype=torch.float32).unsqueeze(1)

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
loader = DataLoader(TensorDataset(x[:1100], y[:1100]), batch_size=44, shuffle=True)


class CostModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        return self.net(x)


model = CostModel()
opt = torch.optim.RMSprop(model.parameters(), lr=2e-3)
for epoch in range(15):
    model.train()
    total = 0.0
    for xb, yb in loader:
        opt.zero_grad()
        loss = nn.functional.mse_loss(model(xb), yb)
        loss.backward()
        opt.step()
        total += loss.item()
    print("epoch %d: %.4f" % (epoch + 1, total / len(loader)))

model.eval()
with torch.no_grad():
    pred = model(x[1100:])
mse = ((pred - y[1100:]) ** 2).mean().item()
print("metric: r2 %.4f" % (1 - mse / y[1100:].var().item()))
