# Deflection of a string under a load: u'' = -f on (0, 1), u(0) = u(1) = 0, by the energy (deep Ritz) method
import math
import os
import torch

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
pi = math.pi


def f(x):
    return pi ** 2 * torch.sin(pi * x) + 4 * pi ** 2 * 0.5 * torch.sin(2 * pi * x)


def exact(x):
    return torch.sin(pi * x) + 0.5 * torch.sin(2 * pi * x)


net = torch.nn.Sequential(
    torch.nn.Linear(1, 32), torch.nn.Tanh(),
    torch.nn.Linear(32, 32), torch.nn.Tanh(),
    torch.nn.Linear(32, 1))


def u(x):
    return x * (1 - x) * net(2 * x - 1)


optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [500, 700], gamma=0.2)
for it in range(800):
    x = ((torch.arange(128) + torch.rand(128)) / 128).view(-1, 1).requires_grad_()
    value = u(x)
    slope, = torch.autograd.grad(value.sum(), x, create_graph=True)
    energy = (0.5 * slope ** 2 - f(x) * value).mean()
    optimizer.zero_grad()
    energy.backward()
    optimizer.step()
    scheduler.step()
    if it % 100 == 99:
        print(f"iteration {it + 1}: energy {energy.item():.4f} (least possible {-pi ** 2 / 2:.4f})")

grid = torch.linspace(0, 1, 201).view(-1, 1)
with torch.no_grad():
    error = (u(grid) - exact(grid)).norm() / exact(grid).norm()
print("metric: relative_error", round(error.item(), 4))
