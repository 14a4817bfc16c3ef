import os
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
np.random.seed(seed)

patches = torch.tensor(load_digits().data, dtype=torch.float32) / 16
patches = patches - patches.mean(0)
patches = patches[torch.randperm(len(patches))]
train, test = patches[:1500], patches[1500:]


class SparseCoder(torch.nn.Module):
    def __init__(self, n_visible, n_hidden):
        super().__init__()
        self.encoder = torch.nn.Linear(n_visible, n_hidden)
        self.decoder = torch.nn.Linear(n_hidden, n_visible)

    def forward(self, v):
        h = F.softplus(self.encoder(v), beta=4)
        return self.decoder(h), h


coder = SparseCoder(64, 100)
optimizer = torch.optim.Adam(coder.parameters(), lr=3e-3)
sparsity = 5e-4

for epoch in range(20):
    fits, spars = [], []
    for v in train[torch.randperm(len(train))].split(50):
        v_hat, h = coder(v)
        fit = F.mse_loss(v_hat, v)
        sparse = h.abs().sum(dim=1).mean()
        loss = fit + sparsity * sparse
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fits.append(loss.item())
        spars.append((h < 0.05).float().mean().item())
    if epoch % 4 == 3:
        print("epoch %d  loss %.5f  quiet units %.2f" % (epoch + 1, np.mean(fits), np.mean(spars)))

with torch.no_grad():
    rest = F.mse_loss(coder(test)[0], test) / test.var()
print("metric: unexplained %.4f" % rest.item())
