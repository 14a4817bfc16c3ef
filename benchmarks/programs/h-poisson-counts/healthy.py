import os
import numpy as np
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.default_rng(5)
x = rng.normal(size=(3000, 6))
rate = np.exp(0.8 + 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * x[:, 2] * (x[:, 3] > 0))
counts = rng.poisson(rate)
x = torch.tensor(x, dtype=torch.float32)
counts = torch.tensor(counts, dtype=torch.float32)
rate = torch.tensor(rate, dtype=torch.float32)

model = nn.Sequential(nn.Linear(6, 32), nn.ELU(), nn.Linear(32, 16), nn.ELU(), nn.Linear(16, 1))
criterion = nn.PoissonNLLLoss(log_input=True)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(20):
    total = 0.0
    for rows in torch.randperm(2400).split(60):
        optimizer.zero_grad()
        loss = criterion(model(x[rows]).squeeze(-1), counts[rows])
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 4 == 0:
        print("epoch", epoch, "poisson nll %.4f" % (total / 40))
with torch.no_grad():
    estimate = model(x[2400:]).squeeze(-1)
    true = rate[2400:].log()
    r2 = 1 - ((estimate - true) ** 2).mean() / true.var()
print("metric: r2 %.4f" % r2.item())
