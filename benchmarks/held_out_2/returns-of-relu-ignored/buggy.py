import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

s = int(os.environ.get("CASE_SEED", 0))
np.random.seed(s); torch.manual_seed(s)

# two-link robot arm: joint angles, speeds and load -> torque at the shoulder
n = 4000
q1, q2 = np.random.uniform(-np.pi, np.pi, (2, n))
w1, w2 = np.random.uniform(-2, 2, (2, n))
load = np.random.uniform(0, 1, n)
torque = (1 + load) * np.cos(q1) + 0.6 * (1 + load) * np.cos(q1 + q2) - 0.5 * np.sin(q2) * w2 * (2 * w1 + w2) * 0.3 + 0.05 * np.random.randn(n)
inputs = np.stack([q1 / 1.8, q2 / 1.8, w1 / 1.15, w2 / 1.15, (load - 0.5) / 0.29], axis=1)

X = torch.tensor(inputs, dtype=torch.float32)
y = torch.tensor((torque - torque.mean()) / torque.std(), dtype=torch.float32)[:, None]
train_dl = DataLoader(TensorDataset(X[:3000], y[:3000]), batch_size=64, shuffle=True)


class TorqueNet(nn.Module):
    def __init__(self, n_in, n_hidden=64):
        super().__init__()
        self.lin1 = nn.Linear(n_in, n_hidden)
        self.lin2 = nn.Linear(n_hidden, n_hidden)
        self.lin3 = nn.Linear(n_hidden, 1)

    def forward(self, x):
        x = self.lin1(x)
        F.relu(x)
        x = self.lin2(x)
        F.relu(x)
        return self.lin3(x)


net = TorqueNet(5)
opt = torch.optim.Adam(net.parameters(), lr=3e-3)
sched = torch.optim.lr_scheduler.StepLR(opt, step_size=6, gamma=0.4)
for epoch in range(18):
    net.train()
    train_loss = 0
    for xb, yb in train_dl:
        opt.zero_grad()
        loss = F.mse_loss(net(xb), yb)
        loss.backward()
        opt.step()
        train_loss += loss.item() / len(train_dl)
    sched.step()
    net.eval()
    with torch.no_grad():
        val_loss = F.mse_loss(net(X[3000:]), y[3000:]).item()
    if epoch % 3 == 2:
        print(f"{epoch + 1:3d} {train_loss:.4f} {val_loss:.4f}")

print("metric: r2", round(1 - val_loss / y[3000:].var().item(), 4))
