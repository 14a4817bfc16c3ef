"""Discrete-time survival model: one hazard per half-year interval."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

SEED = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(SEED)

N, P, T = 1600, 8, 10

# simulate patients: covariates, true hazards, censoring
X = torch.randn(N, P)
risk = 0.9 * X[:, 0] - 0.7 * X[:, 1] + 0.5 * X[:, 2] * X[:, 3]
true_h = torch.sigmoid(-2.2 + 0.1 * torch.arange(T) + risk[:, None])
event_matrix = torch.rand(N, T) < true_h
time = torch.where(event_matrix.any(1), event_matrix.float().argmax(1), torch.tensor(T - 1))
had_event = event_matrix.any(1)
censor = torch.randint(2, T + 6, (N,)).clamp(max=T - 1)
had_event &= time <= censor
time = torch.minimum(time, censor)

at_risk = (torch.arange(T) <= time[:, None]).float()
event = F.one_hot(time, T).float() * had_event[:, None].float()

train, test = slice(0, 1200), slice(1200, N)


class HazardNet(nn.Module):
    def __init__(self, p, t, width=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(p, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.hazard = nn.Linear(width, t)

    def forward(self, x):
        return self.hazard(self.body(x))

    def hazards(self, x):
        return torch.sigmoid(self(x))

    def survival(self, x):
        return torch.cumprod(1 - self.hazards(x), dim=1)


def masked_nll(prediction, event, at_risk):
    per_interval = F.binary_cross_entropy_with_logits(prediction, event, reduction="none")
    return (per_interval * at_risk).sum() / at_risk.sum()


net = HazardNet(P, T)
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)

for epoch in range(30):
    net.train()
    total = batches = 0
    for idx in torch.randperm(1200).split(100):
        optimizer.zero_grad(set_to_none=True)
        loss = masked_nll(net(X[idx]), event[idx], at_risk[idx])
        loss.backward()
        optimizer.step()
        total += loss.detach()
        batches += 1
    if epoch % 5 == 4:
        net.eval()
        with torch.no_grad():
            held = masked_nll(net(X[test]), event[test], at_risk[test])
        print(f"{epoch + 1:3d}: train {total / batches:.4f} test {held:.4f}")

net.eval()
with torch.no_grad():
    true_survival = torch.cumprod(1 - true_h[test], dim=1)
    error = (net.survival(X[test]) - true_survival).abs().mean().item()
print(f"metric: survival_error {error:.4f}")
