import os
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_friedman1

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)

X, y = make_friedman1(n_samples=1500, n_features=8, noise=0.5, random_state=seed)
frame = pd.DataFrame(X, columns=list("abcdefgh")).assign(target=y)
frame = (frame - frame.mean()) / frame.std()
train_df, test_df = frame[:1100], frame[1100:]


def to_tensors(df):
    return torch.tensor(df.drop(columns="target").values).float(), torch.tensor(df["target"].values).float()


class Net(nn.Module):
    def __init__(self, p_drop=0.25):
        super().__init__()
        self.p = p_drop
        self.a = nn.Linear(8, 64)
        self.b = nn.Linear(64, 64)
        self.c = nn.Linear(64, 1)

    def forward(self, x):
        x = F.dropout(F.relu(self.a(x)), self.p, training=self.training)
        x = F.dropout(F.relu(self.b(x)), self.p, training=self.training)
        return self.c(x).squeeze(1)


def evaluate(net, x, y):
    net.eval()
    with torch.no_grad():
        return F.mse_loss(net(x), y).item()


x, y = to_tensors(train_df)
xt, yt = to_tensors(test_df)
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(50):
    net.train()
    for i in torch.randperm(len(x)).split(32):
        opt.zero_grad()
        loss = F.mse_loss(net(x[i]), y[i])
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        print("epoch", epoch + 1, "train mse %.4f" % evaluate(net, x, y), "test mse %.4f" % evaluate(net, xt, yt))

print("metric: mse %.4f" % np.mean([evaluate(net, xt, yt) for _ in range(3)]))
