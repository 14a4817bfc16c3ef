import os
import math
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(19)
t = torch.rand(3000, 1, generator=g)
v = t + 0.3 * torch.sin(2 * math.pi * t) + 0.03 * torch.randn(3000, 1, generator=g)
x, y = (v - v.mean()) / v.std(), (t - t.mean()) / t.std()
torch.manual_seed(seed)


class MDN(nn.Module):
    def __init__(self, k=5, width=48):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.parts = nn.Linear(width, 3 * k)

    def forward(self, x):
        weight, mean, log_std = self.parts(self.body(x)).chunk(3, dim=1)
        return weight.log_softmax(1), mean, log_std.clamp(-5, 3)


def nll(model, x, y):
    w, m, s = model(x)
    log_p = -0.5 * ((y - m) / s.exp()) ** 2 - s - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(w + log_p, 1).mean()


model = MDN()
opt = torch.optim.Adam(model.parameters(), lr=1e-2)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 50)
for epoch in range(50):
    for i in torch.randperm(2400).split(100):
        loss = nll(model, x[i], y[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    sched.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "nll", loss.item())
with torch.no_grad():
    print("metric: nll %.4f" % nll(model, x[2400:], y[2400:]).item())
