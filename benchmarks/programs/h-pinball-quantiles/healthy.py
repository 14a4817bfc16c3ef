import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(71)
x = torch.rand(3000, 2, generator=g) * 2 - 1
width = 0.2 + 0.4 * (x[:, 1] + 1) / 2
y = torch.cos(3 * x[:, 0]) + width * torch.randn(3000, generator=g)
torch.manual_seed(seed)
levels = torch.tensor([0.1, 0.5, 0.9])


def pinball(prediction, target):
    diff = target[:, None] - prediction
    return torch.maximum(levels * diff, (levels - 1) * diff).mean()


model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=25)
for epoch in range(25):
    total = 0.0
    for i in torch.randperm(2400).split(80):
        optimizer.zero_grad()
        loss = pinball(model(x[i]), y[i])
        loss.backward()
        optimizer.step()
        total += loss.item() / 30
    scheduler.step()
    if epoch % 5 == 0:
        print("epoch", epoch, "pinball %.4f" % total)
with torch.no_grad():
    true = torch.cos(3 * x[2400:, :1]) + width[2400:, None] * torch.tensor([-1.2816, 0.0, 1.2816])
    relative = pinball(model(x[2400:]), y[2400:]) / pinball(true, y[2400:])
print("metric: pinball_rel %.4f" % relative.item())
