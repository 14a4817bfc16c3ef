import os
import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.RandomState(0)


def waves(n, length=64):
    kind = rng.randint(0, 4, n)
    t = np.linspace(0, 1, length)[None]
    f = rng.uniform(3, 7, (n, 1))
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    arg = 2 * np.pi * f * t + phase
    saw = 2 * ((arg / (2 * np.pi)) % 1) - 1
    bank = [np.sin(arg), np.sign(np.sin(arg)), saw, -saw]
    x = np.choose(kind[:, None], bank) + 0.25 * rng.randn(n, length)
    return torch.tensor(x[:, None], dtype=torch.float32), torch.tensor(kind)


train = DataLoader(TensorDataset(*waves(1600)), batch_size=32, shuffle=True)
valid = DataLoader(TensorDataset(*waves(400)), batch_size=200)
net = nn.Sequential(
    nn.Conv1d(1, 16, 7, padding=3, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
    nn.Conv1d(16, 32, 5, padding=2, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
    nn.Flatten(), nn.Linear(32, 4),
)
optimizer = optim.AdamW(net.parameters(), lr=5e-3)
scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs=10, steps_per_epoch=len(train))
for epoch in range(10):
    net.train()
    for x, y in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
    net.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in valid:
            right += (net(x).argmax(1) == y).sum().item()
            total += y.numel()
    print("epoch %2d  valid accuracy %.3f" % (epoch + 1, right / total))
print("metric: accuracy %.4f" % (right / total))
