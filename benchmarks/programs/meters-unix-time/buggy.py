import os
import numpy as np
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.default_rng(44)
n = 2000
stamp = rng.integers(1_600_000_000, 1_600_000_000 + 86400 * 30, n).astype(float)
outside = rng.normal(10, 6, n)
people = rng.integers(1, 6, n).astype(float)
day = (stamp - 1_600_000_000) / (86400 * 30)
usage = 0.6 * people - 0.12 * outside + 2 * day + 0.2 * rng.normal(size=n)
X = np.stack([stamp, outside, people], 1)
usage = (usage - usage.mean()) / usage.std()
X, usage = torch.tensor(X, dtype=torch.float32), torch.tensor(usage, dtype=torch.float32)[:, None]
model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(25):
    for b in torch.randperm(1600).split(50):
        loss = nn.functional.mse_loss(model(X[b]), usage[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss", loss.item())
with torch.no_grad():
    r2 = 1 - nn.functional.mse_loss(model(X[1600:]), usage[1600:]) / usage[1600:].var()
print("metric: r2 %.4f" % max(r2.item(), -1e6))
