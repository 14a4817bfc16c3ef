import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.default_rng(1)
hours = np.arange(1800)
load = 500 + 120 * np.sin(2 * np.pi * hours / 24) + 40 * np.sin(2 * np.pi * hours / 168) + 12 * rng.normal(size=hours.size)
mean, std = load[:1300].mean(), load[:1300].std()


class Windows(Dataset):
    def __init__(self, values, width=24):
        self.values = torch.tensor((values - mean) / std, dtype=torch.float32)
        self.width = width

    def __len__(self):
        return len(self.values) - self.width

    def __getitem__(self, i):
        return self.values[i:i + self.width, None], self.values[i + self.width]


class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(1, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        _, (h, _) = self.rnn(x)
        return self.head(h[-1]).squeeze(-1)


model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1)
train = DataLoader(Windows(load[:1300]), batch_size=64, shuffle=True)
test = DataLoader(Windows(load[1300:]), batch_size=128)
for epoch in range(12):
    model.train()
    for x, y in train:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        pairs = [(model(x), y) for x, y in test]
    pred, true = (torch.cat(p) for p in zip(*pairs))
    mse = nn.functional.mse_loss(pred, true)
    plateau.step(mse)
    print("epoch %d test mse %.4f" % (epoch, mse))
print("metric: r2 %.4f" % (1 - mse / true.var()).item())
