import os
import numpy as np
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
rng = np.random.default_rng(23)
n = 4000
shop, day = rng.integers(0, 15, n), rng.integers(0, 7, n)
num = rng.normal(size=(n, 4))
shop_effect, day_effect = rng.normal(size=15), rng.normal(size=7) * 0.7
sales = shop_effect[shop] + day_effect[day] * (1 + 0.5 * (num[:, 0] > 0)) + 0.5 * num[:, 1] + 0.3 * rng.normal(size=n)
sales = (sales - sales.mean()) / sales.std()
shop, day = torch.from_numpy(shop), torch.from_numpy(day)
num, sales = torch.from_numpy(num).float(), torch.from_numpy(sales).float()


class Tabular(nn.Module):
    def __init__(self, cardinalities, n_numeric, width=48):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(c, min(8, (c + 1) // 2)) for c in cardinalities)
        total = n_numeric + sum(t.embedding_dim for t in self.tables)
        self.mlp = nn.Sequential(
            nn.Linear(total, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.05),
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 1),
        )

    def forward(self, categories, numeric):
        parts = [table(c) for table, c in zip(self.tables, categories)]
        return self.mlp(torch.cat([*parts, numeric], 1)).squeeze(1)


model = Tabular([15, 7], 4)
opt = torch.optim.Adam(model.parameters(), lr=6e-3)
sched = torch.optim.lr_scheduler.MultiStepLR(opt, [8, 12], gamma=0.2)
for epoch in range(14):
    model.train()
    for i in torch.randperm(3200).split(80):
        opt.zero_grad()
        loss = nn.functional.mse_loss(model((shop[i], day[i]), num[i]), sales[i])
        loss.backward()
        opt.step()
    sched.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "mse", loss.item())
model.eval()
with torch.no_grad():
    s = slice(3200, None)
    r2 = 1 - nn.functional.mse_loss(model((shop[s], day[s]), num[s]), sales[s]) / sales[s].var()
print("metric: r2 %.4f" % r2.item())
