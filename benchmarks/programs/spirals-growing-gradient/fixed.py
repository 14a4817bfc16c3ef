import os
import math
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(3)
n = 900
theta = torch.rand(n) * 3 * math.pi / 2 + 0.5
arm = torch.arange(n) % 3
r = theta / 5
angle = theta + arm * 2 * math.pi / 3
points = torch.stack([r * angle.cos(), r * angle.sin()], 1) + 0.03 * torch.randn(n, 2)
points = points / points.std()
train_set, test_set = random_split(TensorDataset(points, arm), [700, 200])
torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def train_one_epoch(model, loader, optimizer, criterion):
    total = 0.0
    for xb, yb in loader:
        loss = criterion(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def accuracy(model, loader):
    hits = seen = 0
    with torch.no_grad():
        for xb, yb in loader:
            hits += (model(xb).argmax(1) == yb).sum().item()
            seen += len(yb)
    return hits / seen


def main():
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    train_loader = DataLoader(train_set, batch_size=28, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=200)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(40):
        loss = train_one_epoch(model, train_loader, optimizer, criterion)
        if epoch % 8 == 0:
            print("epoch", epoch, "loss", loss)
    print("metric: accuracy %.4f" % accuracy(model, test_loader))


main()
