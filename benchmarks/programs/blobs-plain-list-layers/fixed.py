import os
import torch
from torch import nn
from sklearn.datasets import make_classification

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=2400, n_features=20, n_informative=8, n_redundant=2, n_classes=5, n_clusters_per_class=2, class_sep=1.8, random_state=21)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)


class Stack(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-2], sizes[1:-1]))
        self.last = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(x)


model = Stack([20, 40, 40, 24, 5])
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(25):
    losses = 0.0
    for idx in torch.randperm(1800).split(60):
        loss = nn.functional.cross_entropy(model(X[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += loss.item() / 30
    if epoch % 5 == 0:
        print(epoch, round(losses, 4))
with torch.no_grad():
    acc = (model(X[1800:]).argmax(1) == y[1800:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
