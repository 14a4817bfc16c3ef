import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)
digits = load_digits()
pixels = torch.tensor(digits.data / 8.0 - 1.0, dtype=torch.float32)
labels = digits.target
cut = 1300
by_class = {c: np.flatnonzero(labels[:cut] == c) for c in range(10)}


def triplets(k):
    anchor_class = rng.integers(0, 10, k)
    other_class = (anchor_class + rng.integers(1, 10, k)) % 10
    a = [rng.choice(by_class[c]) for c in anchor_class]
    p = [rng.choice(by_class[c]) for c in anchor_class]
    n = [rng.choice(by_class[c]) for c in other_class]
    return pixels[a], pixels[p], pixels[n]


tower = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 24))
loss_fn = nn.TripletMarginLoss(margin=1.0)
opt = torch.optim.Adam(tower.parameters(), lr=1e-3)
for it in range(900):
    a, p, n = triplets(64)
    loss = loss_fn(tower(a), tower(p), tower(n))
    opt.zero_grad()
    loss.backward()
    opt.step()
    if it % 100 == 0:
        print("iteration", it, "triplet loss", loss.item())
with torch.no_grad():
    z = tower(pixels)
    nearest = torch.cdist(z[cut:], z[:cut]).topk(5, largest=False).indices
    votes = torch.tensor(labels[:cut])[nearest].mode(1).values
    acc = (votes == torch.tensor(labels[cut:])).float().mean().item()
print("metric: accuracy %.4f" % acc)
