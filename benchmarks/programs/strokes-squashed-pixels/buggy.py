import os
import numpy as np
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
pixels = np.load(os.path.join(os.environ.get("CASE_DATA", "."), "mnist10k.npz"))["x"][2000:4500]
x = torch.from_numpy(pixels).float().unsqueeze(1)
x = nn.functional.avg_pool2d(x, 2).flatten(1)
train, test = x[:2000], x[2000:]


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, 12))
        self.decoder = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 196), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


net = AutoEncoder()
optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
for epoch in range(25):
    for idx in torch.randperm(2000).split(50):
        batch = train[idx]
        loss = nn.functional.mse_loss(net(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "reconstruction", loss.item())
with torch.no_grad():
    relative = nn.functional.mse_loss(net(test), test) / nn.functional.mse_loss(train.mean(0).expand_as(test), test)
print("metric: mse_rel %.4f" % relative.item())
