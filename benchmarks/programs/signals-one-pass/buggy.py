import os
import torch
from torch import nn
from sklearn.datasets import make_classification

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=2000, n_features=20, n_informative=12, n_classes=4, n_clusters_per_class=2, class_sep=1.5, random_state=50)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
EPOCHS = 3
for epoch in range(EPOCHS):
    running = 0.0
    for i in torch.randperm(1500).split(30):
        loss = nn.functional.cross_entropy(model(X[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item()
    print("epoch", epoch + 1, "of", EPOCHS, "loss %.4f" % (running / 50))
with torch.no_grad():
    print("metric: accuracy %.4f" % (model(X[1500:]).argmax(1) == y[1500:]).float().mean().item())
