import logging
import os
import sys

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman2
from torch.utils.data import DataLoader, TensorDataset

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)

X, y = make_friedman2(n_samples=900, noise=60.0, random_state=seed)
X = (X - X[:650].mean(0)) / X[:650].std(0)
m, s = y[:650].mean(), y[:650].std()
X, y = torch.tensor(X, dtype=torch.float32), torch.tensor((y - m) / s, dtype=torch.float32).view(-1, 1)
Xt, yt = X[650:], y[650:]


class Member:
    """One network of the ensemble with a bootstrap sample, an optimizer and a schedule of its own."""

    def __init__(self, number):
        rows = torch.randint(0, 650, (650,))
        self.number = number
        self.net = nn.Sequential(nn.Linear(4, 24 + 8 * number), nn.ReLU(), nn.Linear(24 + 8 * number, 16), nn.ReLU(), nn.Linear(16, 1))
        self.opt = torch.optim.Adam(self.net.parameters(), lr=5e-3)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.opt, 0.93)
        self.loader = DataLoader(TensorDataset(X[rows], y[rows]), batch_size=50, shuffle=True)

    def epoch(self):
        self.net.train()
        total = 0.0
        for xb, yb in self.loader:
            loss = nn.functional.smooth_l1_loss(self.net(xb), yb)
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
            total += loss.item()
        self.schedule.step()
        return total / len(self.loader)

    @torch.no_grad()
    def predict(self, x):
        self.net.eval()
        return self.net(x)


members = [Member(k) for k in range(5)]
for epoch in range(20):
    losses = [member.epoch() for member in members]
    if epoch % 5 == 4:
        logging.info("epoch %d: %s", epoch + 1, " ".join("%.3f" % v for v in losses))

votes = torch.stack([member.predict(Xt) for member in members])
logging.info("spread between members %.3f", votes.std(0).mean())
print("metric: r2", round(1 - ((votes.mean(0) - yt) ** 2).mean().item() / yt.var().item(), 4))
