import os
import math
import torch
from torch import nn
from sklearn.datasets import make_moons

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
data, _ = make_moons(4000, noise=0.07, random_state=0)
data = torch.tensor((data - data.mean(0)) / data.std(0), dtype=torch.float32)
train, held = data[:3200], data[3200:]


class Coupling(nn.Module):
    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(1, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=1)
        s = 2 * torch.tanh(s / 2)
        b = b * s.exp() + t
        out = torch.cat([b, a] if self.flip else [a, b], dim=1)
        return out, s.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=6):
        super().__init__()
        self.steps = nn.ModuleList(Coupling(i % 2 == 1) for i in range(depth))

    def log_prob(self, x):
        log_det = torch.zeros(len(x))
        for step in self.steps:
            x, ld = step(x)
            log_det = log_det + ld
        return -0.5 * (x ** 2).sum(1) - math.log(2 * math.pi) + log_det


flow = Flow()
optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
for step in range(700):
    batch = train[torch.randint(0, len(train), (200,))]
    loss = -flow.log_prob(batch).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(flow.parameters(), 20.0)
    optimizer.step()
    if step % 100 == 0:
        print("step", step, "nll", loss.item())
with torch.no_grad():
    print("metric: nll %.4f" % -flow.log_prob(held).mean().item())
