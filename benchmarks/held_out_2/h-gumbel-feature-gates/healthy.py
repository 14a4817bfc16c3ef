import os
import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

# forty measured genes, five matter
n, p = 1200, 40
X = torch.randn(n, p)
signal = 1.5 * X[:, 3] - 1.2 * X[:, 11] + X[:, 17] * X[:, 25] + torch.relu(X[:, 30]) * 1.5
y = signal + 0.3 * torch.randn(n)
y = (y - y.mean()) / y.std()


class GatedNet(nn.Module):
    """Each input passes a stochastic gate (binary concrete); open gates cost."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.full((p,), 1.0))
        self.body = nn.Sequential(nn.Linear(p, 48), nn.SiLU(), nn.Linear(48, 1))

    def forward(self, x):
        if self.training:
            u = torch.rand_like(x).clamp(1e-6, 1 - 1e-6)
            g = torch.sigmoid((self.gate + torch.log(u) - torch.log1p(-u)) / 0.5)
        else:
            g = (self.gate > 0).float()
        return self.body(x * g).squeeze(-1)

    def cost(self):
        return torch.sigmoid(self.gate).sum()


net = GatedNet()
opt = torch.optim.Adam([{"params": net.body.parameters(), "lr": 4e-3}, {"params": [net.gate], "lr": 3e-2}])
for epoch in range(40):
    net.train()
    for b in torch.randperm(900).split(50):
        fit = F.mse_loss(net(X[b]), y[b])
        loss = fit + 0.01 * net.cost()
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 8 == 7:
        print(f"epoch {epoch + 1} fit {fit.item():.3f} open gates {int((net.gate > 0).sum())}")

net.eval()
with torch.no_grad():
    r2 = 1 - F.mse_loss(net(X[900:]), y[900:]) / y[900:].var()
print("kept", torch.nonzero(net.gate > 0).flatten().tolist())
print("metric: r2", round(r2.item(), 4))
