# 25-class toy problem, MLP baseline
import os
import numpy as np
import torch
from torch import nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
np.random.seed(seed)

X, y = make_classification(n_samples=3000, n_features=30, n_informative=20, n_redundant=4, n_classes=25,
                           n_clusters_per_class=1, class_sep=2.0, flip_y=0.0, random_state=21)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=1, stratify=y)
sc = StandardScaler().fit(X_train)
X_train = torch.FloatTensor(sc.transform(X_train))
X_test = torch.FloatTensor(sc.transform(X_test))
y_train, y_test = torch.LongTensor(y_train), torch.LongTensor(y_test)


class LeafNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(30, 64)
        self.fc2 = nn.Linear(64, 48)
        self.out = nn.Linear(48, 25)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.fc1(x))
        x = self.act(self.fc2(x))
        return self.out(x)


model = LeafNet()
loss_fn = nn.CrossEntropyLoss()
opt = torch.optim.SGD(model.parameters(), lr=0.1)
losses = []
for epoch in range(35):
    order = torch.randperm(len(X_train))
    for i in range(0, len(order), 50):
        idx = order[i:i + 50]
        pred = model(X_train[idx])
        loss = loss_fn(pred, y_train[idx])
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1}: loss {np.mean(losses[-45:]):.4f}")

with torch.no_grad():
    acc = (model(X_test).argmax(dim=1) == y_test).float().mean()
print(f"metric: accuracy {acc:.4f}")
