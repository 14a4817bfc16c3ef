import os
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
z = np.load(os.path.join(os.environ.get("CASE_DATA", "."), "mnist10k.npz"))
x = torch.tensor(z["x"][4000:7000].reshape(-1, 784) / 255.0, dtype=torch.float32)
x = (x - 0.1307) / 0.3081
y = torch.tensor(z["y"][4000:7000], dtype=torch.long)


class TanhNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(784, 100), nn.Linear(100, 100), nn.Linear(100, 10)
        for layer in (self.l1, self.l2, self.l3):
            nn.init.normal_(layer.weight, 0.0, 1.0)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.l3(torch.tanh(self.l2(torch.tanh(self.l1(x)))))


net = TanhNet()
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(10):
    total = 0.0
    for i in torch.randperm(2400).split(40):
        loss = F.cross_entropy(net(x[i]), y[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item()
    print("epoch", epoch, "loss", total / 60)
net.eval()
with torch.no_grad():
    acc = (net(x[2400:]).argmax(1) == y[2400:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
