import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(61)
x = torch.randn(2000, 5, generator=g)
share = torch.sigmoid(x[:, 0] - 0.8 * x[:, 1] * x[:, 2] + 0.5 * x[:, 3])[:, None]
share = (share + 0.02 * torch.randn(share.shape, generator=g)).clamp(0, 1)
torch.manual_seed(seed)
net = nn.Sequential(nn.Linear(5, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1), nn.Sigmoid())
opt = torch.optim.Adam(net.parameters(), lr=4e-3)
for epoch in range(30):
    for b in torch.randperm(1600).split(40):
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(x[b]), share[b])
        loss.backward()
        opt.step()
    if epoch % 6 == 0:
        print(epoch, "mse %.5f" % loss.item())
with torch.no_grad():
    r2 = 1 - nn.functional.mse_loss(net(x[1600:]), share[1600:]) / share[1600:].var()
print("metric: r2 %.4f" % r2.item())
