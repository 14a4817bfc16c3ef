import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(27)
x = torch.rand(1500, 3, generator=g) * 2 - 1
y = (x[:, 0] * x[:, 1] * 2 + torch.sin(3 * x[:, 2])).unsqueeze(1)
y = (y - y.mean()) / y.std() + 0.1 * torch.randn(1500, 1, generator=g)
torch.manual_seed(seed)
model = nn.Sequential(nn.Linear(3, 96), nn.ReLU(), nn.Dropout(0.05), nn.Linear(96, 96), nn.ReLU(), nn.Dropout(0.05), nn.Linear(96, 1))
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(40):
    model.train()
    for i in torch.randperm(1200).split(60):
        loss = nn.functional.mse_loss(model(x[i]), y[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 8 == 0:
        print("epoch", epoch, "mse", loss.item())


def sample_predictions(inputs, draws=30):
    model.eval()
    for layer in model:
        if isinstance(layer, nn.Dropout):
            layer.train()
    with torch.no_grad():
        return torch.stack([model(inputs) for _ in range(draws)])


draws = sample_predictions(x[1200:])
print("mean spread %.4f" % draws.std(0).mean().item())
r2 = 1 - nn.functional.mse_loss(draws.mean(0), y[1200:]) / y[1200:].var()
print("metric: r2 %.4f" % r2.item())
