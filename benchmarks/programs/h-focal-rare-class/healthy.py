import os
import torch
from torch import nn
from sklearn.datasets import make_classification

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=5000, n_features=14, n_informative=8, weights=[0.93], class_sep=1.6, flip_y=0.0, random_state=2)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, alpha=0.75):
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits, target):
        ce = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        p_t = torch.exp(-ce)
        weight = self.alpha * target + (1 - self.alpha) * (1 - target)
        return (weight * (1 - p_t) ** self.gamma * ce).mean()


model = nn.Sequential(nn.Linear(14, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = FocalLoss()
for epoch in range(20):
    for i in torch.randperm(4000).split(100):
        loss = criterion(model(X[i]).squeeze(1), y[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 4 == 0:
        print("epoch", epoch, "focal %.5f" % loss.item())
with torch.no_grad():
    hit, true = model(X[4000:]).squeeze(1) > 0, y[4000:] > 0.5
f1 = 2 * (hit & true).sum() / (hit.sum() + true.sum())
print("metric: f1 %.4f" % f1.item())
