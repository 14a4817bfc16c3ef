import os
import torch
import torch.nn as nn
from sklearn.datasets import make_moons
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

X, y = make_moons(1200, noise=0.15, random_state=0)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32)
train_dl = DataLoader(TensorDataset(X[:900], y[:900]), batch_size=30, shuffle=True)
valid_dl = DataLoader(TensorDataset(X[900:], y[900:]), batch_size=300)


def make_model():
    return nn.Sequential(
        nn.Linear(2, 32),
        nn.LeakyReLU(0.1),
        nn.Linear(32, 32),
        nn.LeakyReLU(0.1),
        nn.Linear(32, 1),
        nn.Flatten(0),
    )


def loss_batch(model, loss_func, xb, yb, opt=None):
    out = model(xb)
    loss = loss_func(out, yb)
    if opt is not None:
        loss.backward()
        opt.zero_grad()
        opt.step()
    return loss.item(), ((out > 0) == (yb > 0.5)).float().mean().item()


def fit(epochs, model, loss_func, opt):
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_dl:
            train_loss, _ = loss_batch(model, loss_func, xb, yb, opt)
        model.eval()
        with torch.no_grad():
            results = [loss_batch(model, loss_func, xb, yb) for xb, yb in valid_dl]
        print(epoch, train_loss, *results[0])
    return results[0][1]


model = make_model()
acc = fit(20, model, nn.BCEWithLogitsLoss(), torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9))
print(f"metric: accuracy {acc:.4f}")
