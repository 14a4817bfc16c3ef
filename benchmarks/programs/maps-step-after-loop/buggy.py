import os
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import make_moons

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_moons(1600, noise=0.15, random_state=9)
X = (X - X.mean(0)) / X.std(0)
data = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y))
train = torch.utils.data.Subset(data, range(1200))
test = torch.utils.data.Subset(data, range(1200, 1600))


class LitClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def fit(module, loader, epochs):
    optimizer = module.configure_optimizers()
    for epoch in range(epochs):
        for batch_idx, batch in enumerate(loader):
            optimizer.zero_grad()
            loss = module.training_step(batch, batch_idx)
            loss.backward()
        optimizer.step()
        if epoch % 4 == 0:
            print("epoch", epoch, "loss", loss.item())


module = LitClassifier()
fit(module, DataLoader(train, batch_size=30, shuffle=True), 8)
with torch.no_grad():
    acc = sum((module.net(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, batch_size=100)) / 400
print("metric: accuracy %.4f" % acc)
