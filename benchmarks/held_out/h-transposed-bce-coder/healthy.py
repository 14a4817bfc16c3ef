import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
pixels = torch.tensor(load_digits().images / 16.0, dtype=torch.float32).unsqueeze(1)
train, test = pixels[:1500], pixels[1500:]


class ConvAutoencoder(nn.Module):
    def __init__(self, latent=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.to_latent = nn.Linear(128, latent)
        self.from_latent = nn.Linear(latent, 128)
        self.t_conv1 = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.t_conv2 = nn.ConvTranspose2d(16, 1, 2, stride=2)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.1)
        x = F.leaky_relu(self.conv2(x), 0.1)
        x = self.to_latent(x.flatten(1))
        x = F.leaky_relu(self.from_latent(x), 0.1).view(-1, 32, 2, 2)
        x = F.leaky_relu(self.t_conv1(x), 0.1)
        return torch.sigmoid(self.t_conv2(x))


model = ConvAutoencoder()
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loader = DataLoader(TensorDataset(train), batch_size=50, shuffle=True)
for epoch in range(16):
    train_loss = 0.0
    for (images,) in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), images)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * images.size(0)
    print("Epoch: {} \tTraining Loss: {:.6f}".format(epoch + 1, train_loss / len(train)))
with torch.no_grad():
    error = F.mse_loss(model(test), test) / (test - train.mean(0)).pow(2).mean()
print("metric: mse_rel %.4f" % error)
