import os
import torch
from torch import nn, optim
from sklearn.datasets import make_classification

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=1600, n_features=16, n_informative=10, n_classes=3, class_sep=1.5, random_state=17)
X = torch.tensor(X, dtype=torch.float32)
X = (X - X.mean(0)) / X.std(0)
y = torch.tensor(y)


def tower(depth, width):
    layers, size = [], 16
    for _ in range(depth):
        layers += [nn.Linear(size, width), nn.ReLU()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 3))


model = tower(6, 24)
optimizer = optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
for epoch in range(20):
    for rows in torch.randperm(1200).split(40):
        loss = nn.functional.cross_entropy(model(X[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 4 == 0:
        print("epoch %d loss %.4f" % (epoch, loss.item()))
with torch.no_grad():
    acc = (model(X[1200:]).argmax(1) == y[1200:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
