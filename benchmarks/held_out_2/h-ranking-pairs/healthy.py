import os

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", "0")))


class Scorer(nn.Module):
    """Scores a document for a query; only differences of scores mean anything."""

    def __init__(self, dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dim, 64), nn.LeakyReLU(0.1), nn.Linear(64, 32), nn.LeakyReLU(0.1), nn.Linear(32, 1, bias=False))

    def forward(self, query, document):
        return self.layers(torch.cat([query, document], dim=-1)).squeeze(-1)


def make_queries(n, docs=12, dim=10):
    q = torch.randn(n, 1, dim).expand(n, docs, dim)
    d = torch.randn(n, docs, dim)
    relevance = (q[..., :4] * d[..., :4]).sum(-1) + d[..., 5] + 0.3 * torch.randn(n, docs)
    return q.contiguous(), d, relevance


q, d, rel = make_queries(400)
qt, dt, relt = make_queries(120)
scorer = Scorer(10)
opt = torch.optim.Adam(scorer.parameters(), lr=3e-3)


def pair_loss(s, r):
    better = r[:, :, None] > r[:, None, :]
    gap = s[:, :, None] - s[:, None, :]
    return F.softplus(-gap[better]).mean()


def share_of_pairs(s, r):
    better = r[:, :, None] > r[:, None, :]
    return ((s[:, :, None] - s[:, None, :])[better] > 0).float().mean().item()


for epoch in range(40):
    for idx in torch.randperm(len(q)).split(40):
        loss = pair_loss(scorer(q[idx], d[idx]), rel[idx])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if (epoch + 1) % 8 == 0:
        with torch.no_grad():
            print(epoch + 1, f"{loss.item():.3f}", f"{share_of_pairs(scorer(qt, dt), relt):.3f}")

with torch.no_grad():
    print("metric: pairs_right", round(share_of_pairs(scorer(qt, dt), relt), 4))
