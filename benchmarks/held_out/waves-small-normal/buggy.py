import os
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

gen = torch.Generator().manual_seed(55)
x = torch.rand(2000, 3, generator=gen) * 2 - 1
y = torch.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:] + 0.05 * torch.randn(2000, 1, generator=gen)
y = y / y.std()

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, mean=0.0, std=0.01)
        nn.init.zeros_(m.bias)


class Surrogate(nn.Module):
    def __init__(self, width=48, depth=4):
        super().__init__()
        layers, d = [], 3
        for _ in range(depth):
            layers += [nn.Linear(d, width), nn.ReLU()]
            d = width
        self.net = nn.Sequential(*layers, nn.Linear(d, 1))

    def forward(self, x):
        return self.net(x)


model = Surrogate()
model.apply(init_weights)
loader = DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=40, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
for epoch in range(20):
    total = 0.0
    for xb, yb in loader:
        loss = nn.functional.mse_loss(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 4 == 3:
        print(f"epoch {epoch + 1:3d} mse {total / len(loader):.5f}")
with torch.no_grad():
    r2 = 1 - (model(x[1600:]) - y[1600:]).pow(2).mean() / y[1600:].var()
print(f"metric: r2 {r2.item():.4f}")
