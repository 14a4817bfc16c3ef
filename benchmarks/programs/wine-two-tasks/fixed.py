import os
import torch
from torch import nn
from sklearn.datasets import load_wine

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
w = load_wine()
X = torch.tensor((w.data - w.data.mean(0)) / w.data.std(0), dtype=torch.float32)
kind = torch.tensor(w.target)
order = torch.randperm(178, generator=torch.Generator().manual_seed(6))
X, kind = X[order], kind[order]
flavour = X[:, 6:7]
inputs = torch.cat([X[:, :6], X[:, 7:]], 1)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
        self.kind_head = nn.Linear(32, 3)
        self.taste_head = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        h = self.body(x)
        return self.kind_head(h), self.taste_head(h)


model = Shared()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
ce, mse = nn.CrossEntropyLoss(), nn.MSELoss()
for epoch in range(50):
    for i in torch.randperm(128).split(16):
        scores, taste = model(inputs[i])
        losses = [ce(scores, kind[i]), mse(taste, flavour[i])]
        total = sum(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "total", total.item())
with torch.no_grad():
    scores, taste = model(inputs[128:])
    acc = (scores.argmax(1) == kind[128:]).float().mean().item()
    r2 = (1 - mse(taste, flavour[128:]) / flavour[128:].var()).item()
print("kind accuracy %.3f" % acc)
print("metric: r2 %.4f" % r2)
