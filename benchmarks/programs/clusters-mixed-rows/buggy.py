import os
import numpy as np
import torch
from torch import nn
from sklearn.datasets import make_classification

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)
X, y = make_classification(n_samples=1600, n_features=20, n_informative=8, n_classes=3, class_sep=1.6, random_state=33)
X = (X - X.mean(0)) / X.std(0)
train_x, train_y, test_x, test_y = X[:1200], y[:1200], X[1200:], y[1200:]
np.random.shuffle(train_x)
np.random.shuffle(train_y)
train_x, test_x = torch.tensor(train_x).float(), torch.tensor(test_x).float()
train_y, test_y = torch.tensor(train_y), torch.tensor(test_y)

net = nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 3))
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
for epoch in range(15):
    total = 0.0
    for s in range(0, 1200, 40):
        loss = nn.functional.cross_entropy(net(train_x[s:s + 40]), train_y[s:s + 40])
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() / 30
    if epoch % 3 == 0:
        print("epoch", epoch, "loss", round(total, 4))
with torch.no_grad():
    acc = (net(test_x).argmax(1) == test_y).float().mean().item()
print("metric: accuracy %.4f" % acc)
