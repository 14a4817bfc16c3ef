import os
import numpy as np
import torch
from torch import nn
from sklearn.datasets import make_friedman3

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
X, y = make_friedman3(2400, noise=0.05, random_state=14)
X = (X - X[:1800].mean(0)) / X[:1800].std(0)
y = (y - y[:1800].mean()) / y[:1800].std()
X = torch.from_numpy(X).float()
y = torch.from_numpy(y).float()[:, None]


class ResMLP(nn.Module):
    def __init__(self, d, width=64, blocks=3):
        super().__init__()
        self.inp = nn.Linear(d, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) for _ in range(blocks))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, x):
        x = self.inp(x)
        for b in self.blocks:
            x = x + b(x)
        return self.out(x)


net = ResMLP(4)
opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
epochs = 14
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
for epoch in range(epochs):
    net.train()
    for rows in torch.randperm(1800).split(60):
        opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(X[rows])
            loss = nn.functional.smooth_l1_loss(out.float(), y[rows])
        loss.backward()
        opt.step()
    sched.step()
    net.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pred = net(X[1800:]).float()
    r2 = 1 - ((pred - y[1800:]) ** 2).mean() / y[1800:].var()
    print(f"epoch {epoch} loss {loss.item():.4f} val r2 {r2:.4f}")
print("metric: r2 %.4f" % r2)
