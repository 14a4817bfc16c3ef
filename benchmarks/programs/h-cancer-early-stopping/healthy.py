import copy
import os

import torch
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
X, y = load_breast_cancer(return_X_y=True)
X_fit, X_test, y_fit, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=8)
X_fit, X_val, y_fit, y_val = train_test_split(X_fit, y_fit, test_size=0.2, stratify=y_fit, random_state=8)
scaler = StandardScaler().fit(X_fit)
to = lambda a: torch.tensor(a, dtype=torch.float32)
X_fit, X_val, X_test = (to(scaler.transform(a)) for a in (X_fit, X_val, X_test))
y_fit, y_val, y_test = (to(a).unsqueeze(1) for a in (y_fit, y_val, y_test))

net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
bce = nn.BCEWithLogitsLoss()
opt = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
best, best_state, waited = float("inf"), None, 0
for epoch in range(120):
    net.train()
    for rows in torch.randperm(len(X_fit)).split(32):
        opt.zero_grad()
        bce(net(X_fit[rows]), y_fit[rows]).backward()
        opt.step()
    net.eval()
    with torch.no_grad():
        val = bce(net(X_val), y_val).item()
    if val < best - 1e-4:
        best, best_state, waited = val, copy.deepcopy(net.state_dict()), 0
    else:
        waited += 1
        if waited == 10:
            print("stopped after epoch", epoch + 1)
            break
net.load_state_dict(best_state)
net.eval()
with torch.no_grad():
    acc = ((net(X_test) > 0).float() == y_test).float().mean().item()
print("best validation loss %.4f" % best)
print("metric: accuracy %.4f" % acc)
