import os

import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)

# scans are large where this comes from; here they are 12 x 12 with a spot, a ring, a bar or nothing
yy, xx = np.mgrid[:12, :12]


def scan(kind):
    cy, cx = rng.uniform(4, 8, 2)
    r = np.hypot(yy - cy, xx - cx)
    image = rng.normal(0, 0.5, (12, 12))
    if kind == 1:
        image += 1.5 * np.exp(-r ** 2 / 3)
    elif kind == 2:
        image += 1.5 * np.exp(-(r - 3) ** 2)
    elif kind == 3:
        image += 1.5 * (np.abs(yy - cy) < 1)
    return image * rng.uniform(0.5, 2) + rng.normal(0, 1)


kinds = rng.integers(0, 4, 700)
scans = torch.tensor(np.stack([scan(k) for k in kinds])[:, None], dtype=torch.float32)
kinds = torch.tensor(kinds)


def unit(n_in, n_out):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2))


net = nn.Sequential(unit(1, 12), unit(12, 24), nn.Flatten(), nn.Linear(216, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
BATCH = 2

for epoch in range(8):
    net.train()
    order = torch.randperm(500)
    losses = []
    for b in order.split(BATCH):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(scans[b]), kinds[b])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        score = (net(scans[500:]).argmax(1) == kinds[500:]).float().mean().item()
    print("epoch", epoch + 1, "loss", round(float(np.mean(losses)), 3), "accuracy", round(score, 3))

print("metric: accuracy", round(score, 4))
