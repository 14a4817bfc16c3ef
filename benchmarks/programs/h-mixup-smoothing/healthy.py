import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
d = load_digits()
x = torch.tensor((d.images - 4.88) / 6.02, dtype=torch.float32).unsqueeze(1)
y = torch.tensor(d.target)
o = torch.randperm(1797, generator=torch.Generator().manual_seed(5))
x, y = x[o], y[o]
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(),
    nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.GroupNorm(4, 32), nn.SiLU(),
    nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
)
opt = torch.optim.AdamW(net.parameters(), lr=5e-3)
sched = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=12 * 40)
beta = torch.distributions.Beta(0.3, 0.3)
for epoch in range(12):
    net.train()
    for i in torch.randperm(1400).split(35):
        lam = beta.sample()
        j = i[torch.randperm(len(i))]
        targets = lam * F.one_hot(y[i], 10).float() + (1 - lam) * F.one_hot(y[j], 10).float()
        loss = F.cross_entropy(net(lam * x[i] + (1 - lam) * x[j]), targets, label_smoothing=0.1)
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
    print("epoch", epoch, "loss %.3f" % loss.item())
net.eval()
with torch.no_grad():
    acc = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
