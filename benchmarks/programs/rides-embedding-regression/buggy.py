import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

seed = int(os.environ.get("CASE_SEED", "0"))
torch.manual_seed(seed)
np.random.seed(seed)


class Rides(Dataset):
    def __init__(self, rows, salt):
        r = np.random.RandomState(100 + salt)
        self.zone = torch.from_numpy(r.randint(0, 8, rows))
        self.hour = torch.from_numpy(r.randint(0, 24, rows))
        self.km = torch.from_numpy(r.gamma(2.0, 1.0, rows).astype("float32"))
        zone_fee = torch.linspace(-1.0, 1.0, 8)[self.zone]
        rush = torch.sin(self.hour / 24 * 2 * np.pi)
        self.price = zone_fee + 0.6 * self.km * (1 + 0.3 * rush) + 0.1 * torch.from_numpy(r.randn(rows).astype("float32"))

    def __len__(self):
        return len(self.km)

    def __getitem__(self, i):
        return self.zone[i], self.hour[i], self.km[i], self.price[i]


class PriceModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.zones = nn.Embedding(8, 4)
        self.hours = nn.Embedding(24, 4)
        self.mlp = nn.Sequential(nn.Linear(9, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, zone, hour, km):
        return self.mlp(torch.cat([self.zones(zone), self.hours(hour), km[:, None]], dim=1))


train = DataLoader(Rides(1600, 0), batch_size=64, shuffle=True)
test = Rides(600, 1)
model = PriceModel()
opt = torch.optim.AdamW(model.parameters(), lr=5e-3)
criterion = nn.L1Loss()
for epoch in range(15):
    for zone, hour, km, price in train:
        pred = model(zone, hour, km)
        loss = criterion(pred, price)
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(epoch, loss.item())

with torch.no_grad():
    pred = model(test.zone, test.hour, test.km).reshape(-1)
r2 = 1 - ((pred - test.price) ** 2).mean() / test.price.var()
print("metric: r2 %.4f" % r2.item())
