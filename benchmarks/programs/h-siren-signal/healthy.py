import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class Sine(nn.Module):
    def __init__(self, i, o, omega, first=False):
        super().__init__()
        self.linear, self.omega = nn.Linear(i, o), omega
        bound = 1 / i if first else (6 / i) ** 0.5 / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


x = torch.linspace(-1, 1, 400)[:, None]
y = torch.sin(15 * x) * torch.exp(-x ** 2) + 0.3 * torch.sign(x)
y = y / y.std()
model = nn.Sequential(Sine(1, 64, 20.0, first=True), Sine(64, 64, 20.0), nn.Linear(64, 1))
opt = torch.optim.Adam(model.parameters(), lr=1e-3)
for step in range(600):
    loss = (model(x) - y).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 0:
        print("step", step, "mse", loss.item())
with torch.no_grad():
    print("metric: r2 %.4f" % (1 - (model(x) - y).square().mean() / y.var()).item())
