import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
np.random.seed(seed)


class RMSLELoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.mse = nn.MSELoss()

    def forward(self, pred, actual):
        value = torch.sqrt(self.mse(torch.log1p(pred), torch.log1p(actual)))
        return torch.tensor(value, requires_grad=True)


X, y = make_friedman1(1200, n_features=8, noise=0.3, random_state=6)
y = np.clip(y, 0.1, None) / 10
X = torch.tensor((X - 0.5) / 0.29, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
X_train, y_train, X_val, y_val = X[:900], y[:900], X[900:], y[900:]

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Softplus())
criterion = RMSLELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
history = []
for epoch in range(50):
    model.train()
    idx = torch.randperm(900)
    total = 0.0
    for i in range(0, 900, 45):
        b = idx[i:i + 45]
        optimizer.zero_grad()
        loss = criterion(model(X_train[b]), y_train[b])
        loss.backward()
        optimizer.step()
        total += loss.item()
    history.append(total / 20)
    if epoch % 10 == 0:
        print("Epoch {} train RMSLE {:.4f}".format(epoch, history[-1]))
model.eval()
with torch.no_grad():
    residual = model(X_val) - y_val
print("metric: r2 {:.4f}".format(1 - residual.pow(2).mean().item() / y_val.var().item()))
