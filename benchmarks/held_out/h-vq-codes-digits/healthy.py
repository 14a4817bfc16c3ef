import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 8 - 1
train, test = images[:1400], images[1400:]


class Quantizer(nn.Module):
    def __init__(self, n_codes, dim, beta=0.25):
        super().__init__()
        self.codebook = nn.Embedding(n_codes, dim)
        nn.init.normal_(self.codebook.weight, std=0.5)
        self.beta = beta

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.size(1))
        code = torch.cdist(flat, self.codebook.weight).argmin(1)
        q = self.codebook(code).view(z.size(0), z.size(2), z.size(3), -1).permute(0, 3, 1, 2)
        loss = F.mse_loss(q, z.detach()) + self.beta * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), loss, code


class VQVAE(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 24, 3, 2, 1), nn.SiLU(), nn.Conv2d(24, 32, 3, 2, 1), nn.SiLU(), nn.Conv2d(32, dim, 1))
        self.vq = Quantizer(64, dim)
        self.dec = nn.Sequential(nn.ConvTranspose2d(dim, 32, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(32, 24, 4, 2, 1), nn.SiLU(), nn.Conv2d(24, 1, 3, 1, 1))

    def forward(self, x):
        q, vq_loss, code = self.vq(self.enc(x))
        return self.dec(q), vq_loss, code


model = VQVAE()
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(13):
    used = set()
    for rows in torch.randperm(len(train)).split(50):
        x = train[rows]
        recon, vq_loss, code = model(x)
        loss = F.mse_loss(recon, x) + vq_loss
        opt.zero_grad()
        loss.backward()
        opt.step()
        used.update(code.tolist())
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1} loss {loss.item():.4f} codes used {len(used)}")
with torch.no_grad():
    error = F.mse_loss(model(test)[0], test) / (test - train.mean(0)).pow(2).mean()
print("metric: mse_rel %.4f" % error)
