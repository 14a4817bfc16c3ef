import os
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
d = load_digits()
x = torch.tensor((d.data - 4.88) / 6.02, dtype=torch.float32)
y = torch.tensor(d.target)
o = torch.randperm(1797, generator=torch.Generator().manual_seed(20))
x, y = x[o], y[o]

model = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 40), nn.ReLU(), nn.Linear(40, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
penalty_weight = 1e-5


def penalty(m):
    return sum(p.abs().sum() for p in m.parameters())


for epoch in range(15):
    model.train()
    total = 0.0
    for i in torch.randperm(1350).split(45):
        fit = nn.functional.cross_entropy(model(x[i]), y[i])
        loss = fit + penalty_weight * penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += fit.item()
    if epoch % 3 == 0:
        print("epoch", epoch, "fit %.4f" % (total / 30))
model.eval()
with torch.no_grad():
    acc = (model(x[1350:]).argmax(1) == y[1350:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
