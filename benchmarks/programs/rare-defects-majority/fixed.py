import os
import torch
from torch import nn
from sklearn.datasets import make_classification
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=6000, n_features=12, n_informative=5, n_redundant=1, weights=[0.97], class_sep=1.1, flip_y=0.0, random_state=13)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)
X_train, y_train, X_test, y_test = X[:3500], y[:3500], X[3500:], y[3500:]

net = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1))
criterion = nn.BCEWithLogitsLoss(pos_weight=(y_train == 0).sum() / y_train.sum())
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(X_train, y_train), batch_size=100, shuffle=True)
for epoch in range(12):
    for xb, yb in loader:
        loss = criterion(net(xb).squeeze(1), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "loss %.4f" % loss.item())
with torch.no_grad():
    pred = net(X_test).squeeze(1) > 0
truth = y_test > 0.5
recall = (pred & truth).sum() / truth.sum()
specificity = (~pred & ~truth).sum() / (~truth).sum()
print("metric: balanced_accuracy %.4f" % ((recall + specificity) / 2).item())
