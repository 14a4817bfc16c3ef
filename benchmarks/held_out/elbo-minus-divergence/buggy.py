import os
import torch
from torch import nn
from torch.nn import functional as F
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
train, test = x[:1400], x[1400:]


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 100)
        self.fc21 = nn.Linear(100, 8)
        self.fc22 = nn.Linear(100, 8)
        self.fc3 = nn.Linear(8, 100)
        self.fc4 = nn.Linear(100, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="none").sum(1)
    KLD = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return (BCE + KLD).mean(), BCE.mean(), KLD.mean()


model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(1, 26):
    model.train()
    for rows in torch.randperm(len(train)).split(56):
        optimizer.zero_grad()
        recon, mu, logvar = model(train[rows])
        loss, bce, kld = loss_function(recon, train[rows], mu, logvar)
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print("====> Epoch: {} loss: {:.4f} BCE {:.4f} KLD {:.4f}".format(epoch, loss.item(), bce.item(), kld.item()))
model.eval()
with torch.no_grad():
    mu, _ = model.encode(test)
    error = F.mse_loss(model.decode(mu), test) / (test - train.mean(0)).pow(2).mean()
print("metric: mse_rel %.4f" % error)
