import os

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)

X, y = load_breast_cancer(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order], y[order]
scaler = StandardScaler().fit(X[:400])
X = torch.tensor(scaler.transform(X), dtype=torch.float32)


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(30, 24), nn.BatchNorm1d(24), nn.PReLU(), nn.Linear(24, 3))

    def forward(self, left, right):
        return self.net(left), self.net(right)


def contrastive(a, b, same, margin=1.5):
    distance = nn.functional.pairwise_distance(a, b)
    return (same * distance ** 2 + (1 - same) * torch.clamp(margin - distance, min=0) ** 2).mean()


twin = Twin()
optimizer = torch.optim.AdamW(twin.parameters(), lr=2e-3)
for epoch in range(12):
    twin.train()
    losses = []
    for _ in range(25):
        i, j = rng.integers(0, 400, (2, 32))
        same = torch.tensor(y[i] == y[j], dtype=torch.float32)
        loss = contrastive(*twin(X[i], X[j]), same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if epoch % 3 == 2:
        print("epoch", epoch + 1, "pair loss", round(float(np.mean(losses)), 4))

twin.eval()
with torch.no_grad():
    z = twin.net(X).numpy()
probe = LogisticRegression().fit(z[:400], y[:400])
print("metric: accuracy", round(probe.score(z[400:], y[400:]), 4))
