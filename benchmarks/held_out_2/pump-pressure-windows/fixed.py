import logging
import os

import numpy as np
import torch
import torch.nn as nn

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
SEED = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(SEED)
torch.manual_seed(SEED)

CLASSES = ["ok", "cavitation", "leak", "worn bearing"]


def record(kind, n=32):
    """inlet pressure [Pa], temperature [K], vibration [m/s^2], flow [m^3/s]"""
    t = np.arange(n) / n
    pressure = 101325 + 2500 * np.sin(2 * np.pi * (3 * t + rng.random())) + rng.normal(0, 600, n)
    temperature = 293 + rng.normal(0, 2) + 0.8 * t + rng.normal(0, 0.2, n)
    vibration = 0.4 * np.sin(2 * np.pi * (5 * t + rng.random())) + rng.normal(0, 0.2, n)
    flow = 0.012 + 0.0006 * np.sin(2 * np.pi * (3 * t + rng.random())) + rng.normal(0, 0.0003, n)
    if kind == 1:
        vibration = vibration + rng.normal(0, 0.5, n)
        pressure = pressure - 900
    elif kind == 2:
        flow = flow - 0.0008 * t
        pressure = pressure - 1500 * t
    elif kind == 3:
        vibration = vibration + 0.5 * np.sin(2 * np.pi * (9 * t + rng.random()))
        temperature = temperature + 3 * t
    return np.stack([pressure, temperature, vibration, flow])


labels = rng.integers(0, 4, 1200)
windows = np.stack([record(k) for k in labels])
train, test = slice(0, 900), slice(900, None)
centre = windows[train].mean(axis=(0, 2), keepdims=True)
spread = windows[train].std(axis=(0, 2), keepdims=True)
windows = (windows - centre) / spread
x = torch.tensor(windows, dtype=torch.float32)
y = torch.tensor(labels)


class PumpNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(4, 16, 5, padding=2)
        self.conv2 = nn.Conv1d(16, 32, 5, padding=2)
        self.fc = nn.Linear(32, len(CLASSES))

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.fc(x.mean(dim=2))


net = PumpNet()
optimizer = torch.optim.Adam(net.parameters(), lr=0.004)
for epoch in range(1, 16):
    net.train()
    total = 0.0
    for rows in torch.randperm(900).split(30):
        loss = nn.functional.cross_entropy(net(x[train][rows]), y[train][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows) / 900
    net.eval()
    with torch.no_grad():
        accuracy = (net(x[test]).argmax(1) == y[test]).float().mean().item()
    if epoch % 3 == 0:
        logging.info("epoch %d loss %.3f accuracy %.3f", epoch, total, accuracy)

print("metric: accuracy %.4f" % accuracy)
