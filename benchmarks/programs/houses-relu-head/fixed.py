import os
import numpy as np
import torch

SEED = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(42)
torch.manual_seed(SEED)

N = 2400
income = rng.lognormal(1.1, 0.4, N)
age = rng.uniform(1, 52, N)
rooms = rng.normal(5.4, 1.2, N)
lat, lon = rng.uniform(32, 42, N), rng.uniform(-124, -114, N)
coast = np.exp(-np.abs(lon + 124 - (42 - lat) * 0.8))
value = 0.5 * income + 0.01 * age + 0.15 * rooms + 1.5 * coast + rng.normal(0, 0.2, N)
table = np.stack([income, age, rooms, lat, lon], 1)
table = (table - table[:1800].mean(0)) / table[:1800].std(0)
value = (value - value[:1800].mean()) / value[:1800].std()
x = torch.tensor(table, dtype=torch.float32)
y = torch.tensor(value, dtype=torch.float32).reshape(-1, 1)


def block(i, o):
    return [torch.nn.Linear(i, o), torch.nn.ReLU()]


model = torch.nn.Sequential(*block(5, 64), *block(64, 64), torch.nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
mse = torch.nn.MSELoss()
for epoch in range(30):
    perm = torch.randperm(1800)
    total = 0.0
    for i in range(0, 1800, 60):
        rows = perm[i:i + 60]
        optimizer.zero_grad()
        loss = mse(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print("epoch", epoch, "mse", round(total / 30, 4))
with torch.no_grad():
    residual = ((model(x[1800:]) - y[1800:]) ** 2).mean()
r2 = 1 - residual / y[1800:].var()
print("metric: r2 %.4f" % r2.item())
