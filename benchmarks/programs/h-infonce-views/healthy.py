import os
import torch
from torch import nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(3)
N, C = 2000, 8
centre = torch.randn(C, 12, generator=g) * 1.2
kind = torch.randint(0, C, (N,), generator=g)
mix = torch.randn(12, 40, generator=g) / 12 ** 0.5
x = torch.tanh((centre[kind] + 0.7 * torch.randn(N, 12, generator=g)) @ mix)
torch.manual_seed(seed)

encoder = nn.Sequential(nn.Linear(40, 96), nn.ReLU(), nn.Linear(96, 32))
projector = nn.Sequential(nn.ReLU(), nn.Linear(32, 16))
opt = torch.optim.AdamW([*encoder.parameters(), *projector.parameters()], lr=2e-3)


def augment(v):
    return v * (torch.rand_like(v) > 0.2) + 0.1 * torch.randn_like(v)


def info_nce(a, b, temperature=0.2):
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    logits = a @ b.T / temperature
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


for epoch in range(12):
    for i in torch.randperm(1600).split(100):
        loss = info_nce(projector(encoder(augment(x[i]))), projector(encoder(augment(x[i]))))
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "contrast %.4f" % loss.item())
with torch.no_grad():
    z = F.normalize(encoder(x), dim=1)
    near = (z[1600:] @ z[:1600].T).topk(7).indices
    acc = (kind[:1600][near].mode(1).values == kind[1600:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
