import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.preprocessing import RobustScaler
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_wine(return_X_y=True)
order = torch.randperm(178, generator=torch.Generator().manual_seed(2)).numpy()
X, y = X[order], y[order]
scaler = RobustScaler().fit(X[:118])
X, y = torch.tensor(scaler.transform(X), dtype=torch.float32), torch.tensor(y)
loader = DataLoader(TensorDataset(X[:118], y[:118]), batch_size=16, shuffle=True)


class WineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(13, 20)
        self.fc2 = nn.Linear(20, 3)

    def forward(self, x):
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


net = WineNet()
loss_fn = nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(40):
    for xb, yb in loader:
        opt.zero_grad()
        loss = loss_fn(net(xb), yb)
        loss.backward()
        opt.step()
    if epoch % 10 == 9:
        print("epoch", epoch + 1, "loss", round(loss.item(), 4))
with torch.no_grad():
    print("metric: accuracy %.4f" % (net(X[118:]).argmax(1) == y[118:]).float().mean().item())
