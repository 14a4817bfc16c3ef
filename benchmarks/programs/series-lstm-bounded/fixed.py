import os
import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
rng = np.random.default_rng(2)
t = np.arange(1400)
wave = np.sin(2 * np.pi * t / 24) + 0.4 * np.sin(2 * np.pi * t / 9) + 0.05 * rng.normal(size=t.size)
wave = (wave - wave[:1000].mean()) / wave[:1000].std()
series = torch.tensor(wave, dtype=torch.float32)
windows = series.unfold(0, 25, 1)
past, nxt = windows[:, :24].unsqueeze(-1), windows[:, 24:]
fit_x, fit_y, new_x, new_y = past[:975], nxt[:975], past[1000:], nxt[1000:]


class Forecaster(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Sequential(nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        h, _ = self.lstm(x)
        return self.out(h[:, -1])


model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.MSELoss()
for epoch in range(14):
    model.train()
    for idx in torch.randperm(len(fit_x)).split(32):
        optimizer.zero_grad()
        loss = loss_fn(model(fit_x[idx]), fit_y[idx])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    print("epoch %d mse %.4f" % (epoch, loss.item()))
model.eval()
with torch.no_grad():
    err = ((model(new_x) - new_y) ** 2).mean() / new_y.var()
print("metric: r2 %.4f" % (1 - err.item()))
