import os
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
x, y = load_digits(return_X_y=True)
x = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 0.6
y = torch.tensor(y)
low, high = y < 5, y >= 5


def backbone():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def train(model, optimizer, x, y, epochs, tag):
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    for epoch in range(epochs):
        model.train()
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(tag, epoch + 1, round(loss.item(), 4))


# pretrain on the digits 0-4
body = backbone()
source = nn.Sequential(body, nn.Linear(128, 5))
train(source, torch.optim.Adam(source.parameters(), lr=2e-3), x[low], y[low], 5, "pretrain")

# few examples of the digits 5-9: a new head at a high rate, the body at a low one, its first layers frozen
new_x, new_y = x[high], y[high] - 5
model = nn.Sequential(body, nn.Linear(128, 5))
for p in body[:2].parameters():
    p.requires_grad_(False)
optimizer = torch.optim.Adam([
    {"params": [p for p in body.parameters() if p.requires_grad], "lr": 3e-4},
    {"params": model[1].parameters(), "lr": 5e-3},
])
train(model, optimizer, new_x[:300], new_y[:300], 10, "finetune")
model.eval()
with torch.no_grad():
    acc = (model(new_x[300:]).argmax(1) == new_y[300:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
