import os
import torch
from torch import nn
from sklearn.datasets import make_friedman1

torch.manual_seed(int(os.getenv("CASE_SEED", "0")))
X, y = make_friedman1(n_samples=2000, n_features=8, noise=0.5, random_state=0)
price = 90000 + 12000 * y
X = torch.tensor(X, dtype=torch.float32) * 2 - 1
price = torch.tensor(price, dtype=torch.float32)[:, None]
X_train, y_train = X[:1500], price[:1500]
X_test, y_test = X[1500:], price[1500:]

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(30):
    for b in torch.randperm(1500).split(50):
        loss = nn.functional.mse_loss(model(X_train[b]), y_train[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if (epoch + 1) % 5 == 0:
        print(f"epoch {epoch + 1} loss {loss.item():.5g}")

with torch.no_grad():
    pred = model(X_test)
    r2 = 1 - ((pred - y_test) ** 2).mean() / y_test.var(unbiased=False)
print("metric: r2 %.4f" % r2)
