import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)

wine = load_wine()
features = wine.data.astype("float32")
x_train, x_test, y_train, y_test = train_test_split(features, wine.target, test_size=0.3, random_state=0, stratify=wine.target)
mean, std = x_train.mean(0), x_train.std(0)
x_train, x_test = (x_train - mean) / std, (x_test - mean) / std
x_train, x_test = torch.from_numpy(x_train), torch.from_numpy(x_test)
y_train, y_test = torch.from_numpy(y_train), torch.from_numpy(y_test)


class WineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1 = nn.Linear(13, 32)
        self.hidden2 = nn.Linear(32, 16)
        self.logits = nn.Linear(16, 3)

    def forward(self, x):
        x = F.relu(self.hidden1(x))
        x = F.relu(self.hidden2(x))
        return self.logits(x)


model = WineNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8)
for epoch in range(60):
    permutation = torch.randperm(len(x_train))
    for i in range(0, len(x_train), 16):
        idx = permutation[i:i + 16]
        optimizer.zero_grad()
        output = model(x_train[idx])
        loss = F.cross_entropy(output, y_train[idx])
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "loss", loss.item())

model.eval()
with torch.no_grad():
    acc = (model(x_test).argmax(dim=1) == y_test).float().mean().item()
print("metric: accuracy %.4f" % acc)
