import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.default_rng(17)
N = 3000
income, age = rng.lognormal(1.1, 0.45, N), rng.uniform(1, 52, N)
rooms, people = rng.normal(5.4, 1.1, N), rng.gamma(3.0, 1.0, N)
lat, lon = rng.uniform(32, 42, N), rng.uniform(-124, -114, N)
value = 45 * income + 18 * rooms / (1 + people / 4) + 90 * np.exp(-np.abs(lon + 122) / 2) + 0.4 * age + rng.standard_t(4, N) * 8
X = np.stack([np.log(income), age, rooms, np.log(people), lat, lon], 1)
X = torch.tensor((X - X[:2400].mean(0)) / X[:2400].std(0), dtype=torch.float32)
mu, sd = value[:2400].mean(), value[:2400].std()
y = torch.tensor((value - mu) / sd, dtype=torch.float32).unsqueeze(1)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


model = nn.Sequential(nn.Linear(6, 32), Residual(32), Residual(32), nn.LayerNorm(32), nn.Linear(32, 1))
epochs = 15
loader = DataLoader(TensorDataset(X[:2400], y[:2400]), batch_size=64, shuffle=True)
opt = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs * len(loader))
huber = nn.HuberLoss()
for epoch in range(epochs):
    total = 0.0
    for xb, yb in loader:
        loss = huber(model(xb), yb)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        sched.step()
        total += loss.item()
    print(f"{epoch + 1:2d} huber {total / len(loader):.4f}")
model.eval()
with torch.inference_mode():
    r2 = 1 - ((model(X[2400:]) - y[2400:]) ** 2).mean() / y[2400:].var()
print(f"metric: r2 {r2.item():.4f}")
