import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
pixels = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(2))]
train, test = pixels[:1400], pixels[1400:]


class VAE(nn.Module):
    def __init__(self, latent=8):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
        self.mu, self.logvar = nn.Linear(96, latent), nn.Linear(96, latent)
        self.dec = nn.Sequential(nn.Linear(latent, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


def vae_loss(logits, x, mu, logvar):
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    divergence = -0.5 * torch.sum(1 + logvar - mu ** 2 - logvar.exp()) / len(x)
    return reconstruction + divergence


model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(25):
    total = 0.0
    for idx in torch.randperm(1400).split(50):
        logits, mu, logvar = model(train[idx])
        loss = vae_loss(logits, train[idx], mu, logvar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss", total / 28)
model.eval()
with torch.no_grad():
    h = model.enc(test)
    out = torch.sigmoid(model.dec(model.mu(h)))
    err = F.mse_loss(out, test) / F.mse_loss(train.mean(0).expand_as(test), test)
print("metric: mse_rel %.4f" % err.item())
