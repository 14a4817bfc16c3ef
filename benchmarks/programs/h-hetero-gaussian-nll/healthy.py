import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(31)
x = torch.rand(2500, 1, generator=g) * 4 - 2
noise = 0.05 + 0.1 * torch.sigmoid(3 * x)
y = torch.sin(2 * x) * 0.8 + noise * torch.randn(x.shape, generator=g)
torch.manual_seed(seed)


class MeanAndSpread(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU())
        self.mean = nn.Linear(48, 1)
        self.spread = nn.Linear(48, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.mean(h), nn.functional.softplus(self.spread(h)) ** 2 + 1e-5


model = MeanAndSpread()
opt = torch.optim.Adam(model.parameters(), lr=4e-3)
sched = torch.optim.lr_scheduler.StepLR(opt, 15, 0.3)
for epoch in range(30):
    for b in torch.randperm(2000).split(100):
        mean, var = model(x[b])
        loss = nn.functional.gaussian_nll_loss(mean, y[b], var)
        opt.zero_grad()
        loss.backward()
        opt.step()
    sched.step()
    if epoch % 6 == 0:
        print("epoch", epoch, "nll", round(loss.item(), 3))
with torch.no_grad():
    mean, var = model(x[2000:])
    nll = nn.functional.gaussian_nll_loss(mean, y[2000:], var).item()
    ideal = nn.functional.gaussian_nll_loss(torch.sin(2 * x[2000:]) * 0.8, y[2000:], noise[2000:] ** 2).item()
print("metric: nll_gap %.4f" % (nll - ideal))
