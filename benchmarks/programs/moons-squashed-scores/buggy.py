import os

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_moons
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.getenv("CASE_SEED", 0))
np.random.seed(SEED)
torch.manual_seed(SEED)

X, y = make_moons(n_samples=1500, noise=0.2, random_state=11)
X = (X - X.mean(0)) / X.std(0)
X = torch.from_numpy(X.astype(np.float32))
y = torch.from_numpy(y.astype(np.float32)).unsqueeze(1)
loader = DataLoader(TensorDataset(X[:1000], y[:1000]), batch_size=50, shuffle=True)


class Classifier(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x):
        return torch.sigmoid(self.layers(x))


def evaluate(model):
    model.eval()
    with torch.no_grad():
        p = torch.sigmoid(model(X[1000:]))
    model.train()
    return ((p > 0.5).float() == y[1000:]).float().mean().item()


model = Classifier()
criterion = nn.BCEWithLogitsLoss()
opt = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(25):
    for xb, yb in loader:
        loss = criterion(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "loss %.4f" % loss.item(), "accuracy %.3f" % evaluate(model))
print(f"metric: accuracy {evaluate(model):.4f}")
