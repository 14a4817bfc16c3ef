import os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(31)
torch.manual_seed(SEED)

hours = np.arange(3000)
temperature = 12 + 9 * np.sin(2 * np.pi * hours / 720) + rng.normal(0, 2, 3000)
weekday = (hours // 24) % 7
load = 40 + 12 * np.sin(2 * np.pi * hours / 24) + 0.08 * (temperature - 15) ** 2 - 6 * (weekday >= 5) + rng.normal(0, 1.5, 3000)
frame = np.stack([np.sin(2 * np.pi * hours / 24), np.cos(2 * np.pi * hours / 24), temperature, weekday >= 5], 1).astype(float)
cut = 2400
frame = (frame - frame[:cut].mean(0)) / frame[:cut].std(0)
load = (load - load[:cut].mean()) / load[:cut].std()
X = torch.tensor(frame, dtype=torch.float32)
Y = torch.tensor(load, dtype=torch.float32).view(-1, 1)


class Forecaster(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.fc1 = nn.Linear(n_in, 48)
        self.fc2 = nn.Linear(48, 24)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.out(x)


model = Forecaster(4)
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(X[:cut], Y[:cut]), batch_size=48, shuffle=True)
for epoch in range(20):
    running_loss = 0.0
    for inputs, targets in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_fn(outputs, targets)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    print("Epoch %d - loss: %.3f" % (epoch + 1, running_loss / len(loader)))

with torch.no_grad():
    p = model(X[cut:])
r2 = 1 - ((p - Y[cut:]) ** 2).mean() / Y[cut:].var()
print("metric: r2 %.4f" % r2)
