import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(77)
n = 6000
x = rng.normal(size=(n, 8)).astype("float32")
truth = 1 / (1 + np.exp(-(0.7 * x[:, 0] - 0.5 * x[:, 1] + 0.4 * x[:, 2] * x[:, 3])))
y = (rng.uniform(size=n) < truth).astype("float32")
print("best possible auc %.4f" % roc_auc_score(y[4500:], truth[4500:]))

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
x, y = torch.from_numpy(x), torch.from_numpy(y)
dl = DataLoader(TensorDataset(x[:4500], y[:4500]), batch_size=90, shuffle=True)


class Churn(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(8, 24)
        self.drop = nn.Dropout(0.1)
        self.logit = nn.Linear(24, 1)

    def forward(self, x):
        return self.logit(self.drop(torch.relu(self.hidden(x)))).squeeze(1)


model = Churn()
bce = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
for epoch in range(12):
    model.train()
    tot = 0
    for xb, yb in dl:
        optimizer.zero_grad()
        loss = bce(model(xb), yb)
        loss.backward()
        optimizer.step()
        tot += loss.item()
    model.eval()
    with torch.no_grad():
        score = model(x[4500:])
    print("epoch", epoch, "train", round(tot / 50, 4), "val", round(bce(score, y[4500:]).item(), 4))
share = (roc_auc_score(y[4500:], score) - 0.5) / (roc_auc_score(y[4500:], truth[4500:]) - 0.5)
print("metric: auc_share %.4f" % share)
