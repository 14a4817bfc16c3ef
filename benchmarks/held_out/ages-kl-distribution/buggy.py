# label distribution learning: the target is a histogram over 12 bins
import os
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(5)
N, D, BINS = 1600, 10, 12
features = torch.randn(N, D)
w1, w2 = torch.randn(D, 6) / math.sqrt(D), torch.randn(6)
center = 5.5 + 2.2 * (torch.tanh(features @ w1) @ w2)
width = 0.8 + 1.2 * torch.sigmoid(features[:, 0])
bins = torch.arange(BINS).float()
target = F.softmax(-0.5 * ((bins[None] - center[:, None]) / width[:, None]) ** 2, dim=1)
train_x, train_t, test_x, test_t = features[:1200], target[:1200], features[1200:], target[1200:]

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class DistributionNet(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(D, hidden), nn.ELU(), nn.Linear(hidden, hidden), nn.ELU())
        self.head = nn.Linear(hidden, BINS)

    def forward(self, x):
        return self.head(self.body(x))


model = DistributionNet()
kl = nn.KLDivLoss(reduction="batchmean")
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(40):
    model.train()
    epoch_loss = 0
    for chunk in torch.randperm(1200).chunk(24):
        scores = model(train_x[chunk])
        loss = kl(F.softmax(scores, dim=1), train_t[chunk])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    if epoch % 8 == 0:
        print("epoch", epoch, "kl", round(epoch_loss / 24, 4))

model.eval()
with torch.no_grad():
    logp = F.log_softmax(model(test_x), dim=1)
    divergence = (test_t * (test_t.clamp_min(1e-12).log() - logp)).sum(1).mean().item()
print("metric: kl %.4f" % divergence)
