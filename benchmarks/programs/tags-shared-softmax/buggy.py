import os
import numpy as np
import torch
from torch import nn, optim

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.default_rng(3)
X = rng.normal(size=(2000, 20))
Y = X @ rng.normal(size=(20, 6)) / 20 ** 0.5 + 0.1 * rng.normal(size=(2000, 6)) > np.linspace(0.6, 1.3, 6)
X, Y = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(Y, dtype=torch.float32)

net = nn.Sequential(nn.Linear(20, 64), nn.LeakyReLU(), nn.Dropout(0.1), nn.Linear(64, 6))
criterion = nn.CrossEntropyLoss()
optimizer = optim.RMSprop(net.parameters(), lr=1e-3)


def f1_score(logits, truth):
    pred = (logits.sigmoid() > 0.5).float()
    tp = (pred * truth).sum()
    return (2 * tp / (pred.sum() + truth.sum()).clamp(min=1)).item()


for epoch in range(20):
    net.train()
    for rows in torch.randperm(1500).split(30):
        loss = criterion(net(X[rows]), Y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        score = f1_score(net(X[1500:]), Y[1500:])
    if epoch % 5 == 4:
        print(f"[{epoch + 1}] loss={loss.item():.3f} f1={score:.3f}")
print(f"metric: f1 {score:.4f}")
