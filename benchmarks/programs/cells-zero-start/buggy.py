import os
import torch
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
b = load_breast_cancer()
X = torch.tensor(StandardScaler().fit_transform(b.data), dtype=torch.float32)
y = torch.tensor(b.target)
p = torch.randperm(569, generator=torch.Generator().manual_seed(3))
X, y = X[p], y[p]


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)


model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
model.apply(init_weights)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(25):
    for rows in torch.randperm(420).split(30):
        optimizer.zero_grad()
        loss = criterion(model(X[rows]), y[rows])
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss %.4f" % loss.item())
with torch.no_grad():
    acc = (model(X[420:]).argmax(1) == y[420:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
