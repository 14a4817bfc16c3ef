import os

import numpy as np
import pandas as pd
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)

# GARCH-like daily returns
n = 2500
r, v = np.zeros(n), np.zeros(n)
v[0] = 1e-4
for t in range(1, n):
    v[t] = 1.5e-6 + 0.14 * r[t - 1] ** 2 + 0.85 * v[t - 1]
    r[t] = np.sqrt(v[t]) * np.random.randn()
prices = pd.Series(100 * np.exp(np.cumsum(r)))
returns = np.log(prices).diff().fillna(0).to_numpy()

WINDOW = 20
features = np.stack([np.abs(returns[i:i + WINDOW]) for i in range(n - WINDOW)])
target = np.sqrt(v[WINDOW:])                     # the volatility of the next day
split = 1900
X = torch.tensor(features, dtype=torch.float32)
Y = torch.tensor(target, dtype=torch.float32).unsqueeze(1)

loader = DataLoader(TensorDataset(X[:split], Y[:split]), batch_size=50, shuffle=True)

model = nn.Sequential(nn.Linear(WINDOW, 32), nn.Tanh(), nn.Linear(32, 1))
loss_function = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

for epoch in range(12):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = loss_function(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"Epoch {epoch + 1}/12 - loss: {total / len(loader):.8f}")

model.eval()
with torch.no_grad():
    forecast = model(X[split:]).numpy().ravel()
actual = Y[split:].numpy().ravel()
print("metric: correlation", round(float(np.corrcoef(forecast, actual)[0, 1]), 4))
