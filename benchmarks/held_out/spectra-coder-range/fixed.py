import os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.preprocessing import StandardScaler

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.RandomState(8)
grid = np.linspace(0, 1, 64)


def spectra(n):
    out = np.zeros((n, 64))
    for k in range(4):
        center = rng.uniform(0.1 + 0.2 * k, 0.3 + 0.2 * k, (n, 1))
        height = rng.uniform(0.3, 1.0, (n, 1))
        out += height * np.exp(-0.5 * ((grid - center) / 0.06) ** 2)
    return out + 0.01 * rng.randn(n, 64)


raw = spectra(2000)
scaler = StandardScaler()
train = scaler.fit_transform(raw[:1600]).astype("float32")
valid = scaler.transform(raw[1600:]).astype("float32")

torch.manual_seed(seed)


class AutoEncoder(nn.Module):
    def __init__(self, code=10):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(True), nn.Linear(48, code))
        self.decoder = nn.Sequential(nn.Linear(code, 48), nn.ReLU(True), nn.Linear(48, 64))

    def forward(self, x):
        return self.decoder(self.encoder(x))


ae = AutoEncoder()
optim = torch.optim.Adam(ae.parameters(), lr=2e-3)
criterion = nn.MSELoss()
loader = DataLoader(TensorDataset(torch.from_numpy(train)), batch_size=64, shuffle=True)
val = torch.from_numpy(valid)
for epoch in range(30):
    ae.train()
    for (x,) in loader:
        loss = criterion(ae(x), x)
        optim.zero_grad()
        loss.backward()
        optim.step()
    ae.eval()
    with torch.no_grad():
        val_loss = criterion(ae(val), val).item()
    if (epoch + 1) % 5 == 0:
        print("epoch [{}/30], loss:{:.4f} val:{:.4f}".format(epoch + 1, loss.item(), val_loss))
print("metric: mse_rel {:.4f}".format(val_loss / val.var().item()))
