import os
import torch
from torch import nn
from sklearn.datasets import make_regression

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_regression(n_samples=1500, n_features=20, n_informative=12, noise=5.0, random_state=18)
y = y + 60 * X[:, 0] * X[:, 1]
X = torch.tensor(X, dtype=torch.float32)
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32).unsqueeze(1)
X_train, X_test, y_train, y_test = X[:1100], X[1100:], y[:1100], y[1100:]

model = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))


def update(batch_x, batch_y, rate):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(batch_x), batch_y)
    loss.backward()
    optimizer.step()
    return loss.item()


for epoch in range(30):
    losses = [update(X_train[i], y_train[i], 4e-2) for i in torch.randperm(1100).split(25)]
    if epoch % 6 == 0:
        print("epoch", epoch, "loss", sum(losses) / len(losses))
with torch.no_grad():
    r2 = 1 - nn.functional.mse_loss(model(X_test), y_test) / y_test.var()
print("metric: r2 %.4f" % r2.item())
