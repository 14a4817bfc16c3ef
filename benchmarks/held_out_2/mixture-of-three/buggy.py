import math
import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def sample(n):
    """Inverse kinematics toy: several answers for one question."""
    y = torch.rand(n, 1) * 2 - 1
    x = y + 0.35 * torch.sin(2 * math.pi * y) * 1.4 + 0.05 * torch.randn(n, 1)
    return x / 0.6, y / 0.58


class MDN(nn.Module):
    def __init__(self, hidden=40, components=6):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.weights = nn.Linear(hidden, components)
        self.centres = nn.Linear(hidden, components)
        self.log_width = nn.Linear(hidden, components)

    def forward(self, x):
        h = self.trunk(x)
        alpha = torch.softmax(self.weights(h), dim=0)
        return alpha, self.centres(h), self.log_width(h).clamp(-3, 2)


def log_density(params, y):
    alpha, mu, log_sigma = params
    component = -0.5 * ((y - mu) / log_sigma.exp()) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return torch.logsumexp(torch.log(alpha + 1e-9) + component, dim=1)


x, y = sample(2000)
x_test, y_test = sample(1000)
model = MDN()
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
step = 0
while step < 1200:
    pick = torch.randint(0, len(x), (128,))
    nll = -log_density(model(x[pick]), y[pick]).mean()
    opt.zero_grad()
    nll.backward()
    opt.step()
    step += 1
    if step % 200 == 0:
        print(f"step {step} nll {nll.item():.3f}")

model.eval()
with torch.no_grad():
    alpha, mu, log_sigma = model(x_test)
    answer = (alpha * mu).sum(dim=1)
    true = y_test[:, 0]
    r2 = 1 - ((answer - true) ** 2).mean() / true.var()
print(f"metric: r2 {r2.item():.4f}")
