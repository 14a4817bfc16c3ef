import os
import math
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))


def solution(t):
    return 1.0 + t * net(t)


optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for step in range(800):
    t = (torch.rand(100, 1) * 4).requires_grad_(True)
    u = solution(t)
    slope, = torch.autograd.grad(u.sum(), t, create_graph=True)
    residual = slope + u - torch.cos(t)
    loss = residual.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print("step", step, "residual", loss.item())
with torch.no_grad():
    t = torch.linspace(0, 4, 200)[:, None]
    exact = 0.5 * (torch.cos(t) + torch.sin(t)) + 0.5 * torch.exp(-t)
    rmse = (solution(t) - exact).pow(2).mean().sqrt().item()
print("metric: rmse %.5f" % rmse)
