import os
import torch
from torch import nn
from sklearn.datasets import make_classification

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=1800, n_features=10, n_informative=6, class_sep=1.2, weights=[0.4], random_state=25)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(2 * y - 1, dtype=torch.float32).reshape(-1, 1)
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(20):
    for rows in torch.randperm(1400).split(50):
        optimizer.zero_grad()
        loss = criterion(model(X[rows]), y[rows])
        loss.backward()
        optimizer.step()
    if epoch % 4 == 0:
        print("epoch", epoch, "loss %.4f" % loss.item())
with torch.no_grad():
    acc = ((torch.sigmoid(model(X[1400:])) > 0.5) == (y[1400:] > 0)).float().mean().item()
print("metric: accuracy %.4f" % acc)
