import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold

SEED = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(SEED)
X, y = make_classification(1200, 20, n_informative=10, n_redundant=2, n_classes=4, class_sep=1.5, random_state=10)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def build_model():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))


def evaluate(model, x, t):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == t).float().mean().item()


criterion = nn.CrossEntropyLoss()
results = []
skf = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
for fold, (train_idx, val_idx) in enumerate(skf.split(X, y)):
    model = build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    xt, yt = torch.from_numpy(X[train_idx]), torch.from_numpy(y[train_idx])
    xv, yv = torch.from_numpy(X[val_idx]), torch.from_numpy(y[val_idx])
    for epoch in range(12):
        model.train()
        losses = []
        for rows in torch.randperm(len(xt)).split(32):
            optimizer.zero_grad()
            loss = criterion(model(xt[rows]), yt[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    results.append(evaluate(model, xv, yv))
    print(f"fold {fold}: loss {np.mean(losses):.4f} accuracy {results[-1]:.4f}")
print("metric: accuracy %.4f" % np.mean(results))
