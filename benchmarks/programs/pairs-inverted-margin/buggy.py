import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import make_blobs

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_blobs(n_samples=1600, centers=12, n_features=6, cluster_std=2.2, random_state=30)
y = y % 4
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)
X_train, y_train, X_test, y_test = X[:1200], y[:1200], X[1200:], y[1200:]
encoder = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


def contrastive(a, b, same, margin=2.0):
    dist = F.pairwise_distance(a, b)
    pull = (1 - same) * dist ** 2
    push = same * F.relu(margin - dist) ** 2
    return (pull + push).mean()


opt = torch.optim.Adam(encoder.parameters(), lr=2e-3)
for step in range(700):
    i = torch.randint(0, 1200, (128,))
    j = torch.randint(0, 1200, (128,))
    same = (y_train[i] == y_train[j]).float()
    loss = contrastive(encoder(X_train[i]), encoder(X_train[j]), same)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 0:
        print(step, "contrastive loss", round(loss.item(), 4))
with torch.no_grad():
    a, b = encoder(X_train), encoder(X_test)
    centres = torch.stack([a[y_train == c].mean(0) for c in range(4)])
    acc = (torch.cdist(b, centres).argmin(1) == y_test).float().mean().item()
print("metric: accuracy %.4f" % acc)
