import os
import torch
from torch import nn
from sklearn.datasets import make_moons

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
data, _ = make_moons(3000, noise=0.04, random_state=4)
data = torch.tensor((data - data.mean(0)) / data.std(0), dtype=torch.float32)
T = 40
beta = torch.linspace(1e-3, 0.2, T)
alpha = 1 - beta
bar = alpha.cumprod(0)


class NoiseModel(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.time = nn.Embedding(T, 16)
        self.net = nn.Sequential(nn.Linear(18, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x, t):
        return self.net(torch.cat([x, self.time(t)], 1))


model = NoiseModel()
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
for step in range(1500):
    x0 = data[torch.randint(0, len(data), (256,))]
    t = torch.randint(0, T, (256,))
    eps = torch.randn_like(x0)
    xt = bar[t].sqrt()[:, None] * x0 + (1 - bar[t]).sqrt()[:, None] * eps
    loss = (model(xt, t) - eps).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 250 == 0:
        print("step", step, "loss %.4f" % loss.item())


@torch.no_grad()
def sample(n):
    x = torch.randn(n, 2)
    for t in reversed(range(T)):
        e = model(x, torch.full((n,), t))
        x = (x - beta[t] / (1 - bar[t]).sqrt() * e) / alpha[t].sqrt()
        if t:
            x = x + beta[t].sqrt() * torch.randn_like(x)
    return x


a, b = sample(1000), data[:1000]
d = 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()
print("metric: energy_distance %.4f" % d.item())
