import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn import datasets
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
bc = datasets.load_breast_cancer()
X = torch.tensor((bc.data - bc.data[:400].mean(0)) / bc.data[:400].std(0), dtype=torch.float32)
y = torch.tensor(bc.target, dtype=torch.float32)
shuffle = torch.randperm(569, generator=torch.Generator().manual_seed(1))
X, y = X[shuffle], y[shuffle]
n_train = 400


class LogisticNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1 = nn.Linear(30, 16)
        self.linear2 = nn.Linear(16, 1)

    def forward(self, x):
        return self.linear2(torch.tanh(self.linear1(x))).squeeze(-1)


model = LogisticNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
dataloader = DataLoader(TensorDataset(X[:n_train], y[:n_train]), batch_size=20, shuffle=True)
for epoch in range(30):
    for inputs, labels in dataloader:
        logits = model(inputs)
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print("epoch", epoch, "loss", loss.item())

with torch.no_grad():
    logits = model(X[n_train:])
    acc = ((logits > 0).float() == y[n_train:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
