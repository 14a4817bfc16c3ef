import os
import torch
from sklearn.datasets import load_diabetes

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_diabetes(return_X_y=True, scaled=True)
X = torch.tensor(X * 442 ** 0.5, dtype=torch.float32)
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
order = torch.randperm(442, generator=torch.Generator().manual_seed(4))
tr, te = order[:330], order[330:]

W1 = (torch.randn(10, 16) / 10 ** 0.5).requires_grad_()
b1 = torch.zeros(16, requires_grad=True)
W2 = (torch.randn(16) / 4).requires_grad_()
b2 = torch.zeros((), requires_grad=True)
params = [W1, b1, W2, b2]


def net(x):
    h = torch.tanh(x @ W1 + b1)
    return h @ W2 + b2


def mse(y_hat, y):
    return ((y_hat - y) ** 2).mean()


lr, decay = 0.03, 2e-2
for epoch in range(60):
    for rows in tr[torch.randperm(330)].split(30):
        loss = mse(net(X[rows]), y[rows])
        penalty = decay * ((W1 ** 2).sum() + (W2 ** 2).sum()) / 2
        grads = torch.autograd.grad(loss + penalty, params)
        with torch.no_grad():
            for p, g in zip(params, grads):
                p -= lr * g
    if epoch % 10 == 9:
        print("epoch", epoch + 1, "train mse", round(loss.item(), 4))

with torch.no_grad():
    target = y[te]
    r2 = 1 - ((net(X[te]) - target) ** 2).mean() / ((target - target.mean()) ** 2).mean()
print("metric: r2 %.4f" % r2)
