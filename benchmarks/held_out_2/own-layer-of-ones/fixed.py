import os

import torch
from sklearn.datasets import make_moons

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)


class Dense(torch.nn.Module):
    """weight (n_in, n_out), bias (n_out,)"""

    def __init__(self, n_in, n_out, activation=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n_in, n_out) / n_in ** 0.5)
        self.bias = torch.nn.Parameter(torch.zeros(n_out))
        self.activation = activation

    def forward(self, x):
        z = x @ self.weight + self.bias
        return z if self.activation is None else self.activation(z)


class Stack(torch.nn.Module):
    def __init__(self, sizes):
        super().__init__()
        last = len(sizes) - 2
        self.parts = torch.nn.ModuleList(
            Dense(a, b, None if i == last else torch.tanh) for i, (a, b) in enumerate(zip(sizes, sizes[1:])))

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x.squeeze(-1)


points, moon = make_moons(1000, noise=0.15, random_state=seed)
points = torch.tensor(points, dtype=torch.float32) - torch.tensor([0.5, 0.25])
moon = torch.tensor(moon, dtype=torch.float32)

net = Stack([2, 16, 16, 1])
opt = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(40):
    mean_loss = 0.0
    for rows in torch.randperm(700).split(50):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(points[rows]), moon[rows])
        opt.zero_grad()
        loss.backward()
        opt.step()
        mean_loss += loss.item() / 14
    if epoch % 8 == 7:
        print("epoch", epoch + 1, "loss", round(mean_loss, 4))

with torch.no_grad():
    hit = ((net(points[700:]) > 0) == (moon[700:] > 0.5)).float().mean().item()
print("metric: accuracy", round(hit, 4))
