import os
import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(seed)
torch.manual_seed(seed)

# cohort
n = 1600
age = rng.normal(62, 11, n)
marker = rng.lognormal(1.0, 0.6, n)
stage = rng.integers(1, 4, n)
treated = rng.integers(0, 2, n)
log_hazard = 0.05 * (age - 62) + 0.8 * (np.log(marker) - 1) + 0.6 * (stage - 2) - 0.9 * treated * (stage > 1)
t_event = rng.exponential(1 / np.exp(log_hazard))
t_cens = rng.exponential(2.0, n)
time = np.minimum(t_event, t_cens)
event = (t_event <= t_cens).astype("float32")
X = np.column_stack([age, np.log(marker), stage, treated]).astype("float32")
X = (X - X.mean(0)) / X.std(0)

train = np.arange(n) < 1100


def tensors(mask):
    order = np.argsort(-time[mask])          # longest follow-up first: risk sets become prefixes
    return [torch.tensor(a[mask][order], dtype=torch.float32) for a in (X, time, event)]


x, t, e = tensors(train)
xv, tv, ev = tensors(~train)


def cox(log_risk, e):
    return -((log_risk - torch.logcumsumexp(log_risk, 0)) * e).sum() / e.sum()


def concordance(risk, t, e):
    earlier = (t[:, None] < t[None, :]) & (e[:, None] > 0)
    return (risk[:, None] > risk[None, :])[earlier].float().mean().item()


net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1, bias=False))
opt = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-2)
for it in range(100):
    net.train()
    opt.zero_grad()
    loss = cox(net(x)[:, 0], e)
    loss.backward()
    opt.step()
    if it % 15 == 0:
        net.eval()
        with torch.no_grad():
            val = cox(net(xv)[:, 0], ev)
        print(f"iteration {it}: train {loss.item():.4f} validation {val.item():.4f}")

with torch.no_grad():
    c = concordance(net(xv)[:, 0], tv, ev)
print(f"metric: concordance {c:.4f}")
