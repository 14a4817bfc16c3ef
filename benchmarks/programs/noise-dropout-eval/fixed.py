import os
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
d = load_digits()
x = torch.tensor(d.images / 8 - 1, dtype=torch.float32)[:, None]
y = torch.tensor(d.target)
perm = torch.randperm(len(y), generator=torch.Generator().manual_seed(10))
x, y = x[perm], y[perm]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5))
        self.classifier = nn.Sequential(nn.Linear(24 * 16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


def run_epoch(net, rows, optimizer=None, size=25):
    net.train(optimizer is not None)
    hits = 0
    for idx in rows.split(size):
        with torch.set_grad_enabled(optimizer is not None):
            out = net(x[idx])
            loss = nn.functional.cross_entropy(out, y[idx])
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        hits += (out.argmax(1) == y[idx]).sum().item()
    return hits / len(rows)


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for epoch in range(8):
    train_acc = run_epoch(net, torch.randperm(1300), optimizer)
    test_acc = run_epoch(net, torch.arange(1300, len(y)), size=2)
    print(f"epoch {epoch} train {train_acc:.3f} test {test_acc:.3f}")
print(f"metric: accuracy {test_acc:.4f}")
