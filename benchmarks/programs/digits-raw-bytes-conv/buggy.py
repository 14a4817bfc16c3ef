import os
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
npz = np.load(os.path.join(os.environ.get("CASE_DATA", "."), "mnist10k.npz"))
images, labels = npz["x"][:3000, None].astype("float32"), npz["y"][:3000].astype("int64")
train = TensorDataset(torch.from_numpy(images[:2500]), torch.from_numpy(labels[:2500]))
test = TensorDataset(torch.from_numpy(images[2500:]), torch.from_numpy(labels[2500:]))

net = nn.Sequential(
    nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(),
    nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
    nn.Flatten(), nn.Linear(16 * 5 * 5, 48), nn.ReLU(), nn.Linear(48, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.8)
for epoch in range(5):
    net.train()
    total = 0.0
    for x, y in DataLoader(train, batch_size=50, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print("epoch", epoch + 1, "loss %.4f" % (total / 50))
net.eval()
with torch.no_grad():
    acc = sum((net(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, batch_size=250)) / 500
print("metric: accuracy %.4f" % acc)
