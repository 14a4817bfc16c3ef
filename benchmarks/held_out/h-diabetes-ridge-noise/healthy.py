import os
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_diabetes(return_X_y=True)
oof = torch.zeros(len(y))
for fold, (tr, va) in enumerate(KFold(5, shuffle=True, random_state=42).split(X)):
    mean, std = X[tr].mean(0), X[tr].std(0)
    xtr = torch.tensor((X[tr] - mean) / std).float()
    xva = torch.tensor((X[va] - mean) / std).float()
    ymean, ystd = y[tr].mean(), y[tr].std()
    ytr = torch.tensor((y[tr] - ymean) / ystd).float()
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9, weight_decay=0.02)
    for epoch in range(25):
        for i in torch.randperm(len(tr)).split(44):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(xtr[i]).squeeze(-1), ytr[i])
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        pred = model(xva).squeeze(-1) * ystd + ymean
    oof[va] = pred.float()
    rmse = (pred - torch.tensor(y[va])).pow(2).mean().sqrt()
    print(f"fold {fold}: rmse {rmse:.2f}")
target = torch.tensor(y).float()
r2 = 1 - (oof - target).pow(2).mean() / target.var(unbiased=False)
print(f"metric: r2 {r2:.4f}")
