import os
import numpy as np
import torch
from torch import nn
from sklearn.datasets import load_diabetes

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
data = load_diabetes()
table = data.data.copy()
rng = np.random.RandomState(6)
table[rng.rand(*table.shape) < 0.01] = np.nan
target = (data.target - data.target.mean()) / data.target.std()
mean, std = np.nanmean(table, 0), np.nanstd(table, 0)
table = np.nan_to_num((table - mean) / std)
x = torch.tensor(table, dtype=torch.float32)
y = torch.tensor(target, dtype=torch.float32).view(-1, 1)

model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
criterion = nn.MSELoss()
for epoch in range(40):
    for rows in torch.randperm(342).split(38):
        optimizer.zero_grad()
        loss = criterion(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "loss", loss.item())
with torch.no_grad():
    r2 = 1 - criterion(model(x[342:]), y[342:]) / y[342:].var(unbiased=False)
print("metric: r2 %.4f" % r2.item())
