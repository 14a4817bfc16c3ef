import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_diabetes(return_X_y=True, scaled=False)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=42)
xs = StandardScaler().fit(X_train)
X_train = torch.from_numpy(xs.transform(X_train)).float()
X_test = torch.from_numpy(xs.transform(X_test)).float()
y_mean, y_std = 0.0, 1.0
y_train = torch.from_numpy((y_train - y_mean) / y_std).float().view(-1, 1)


class Net(nn.Module):
    def __init__(self, input_size, hidden_size):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_size, 1)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))


net = Net(10, 16)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.001, weight_decay=1e-4)
batch = 16
for epoch in range(60):
    net.train()
    order = torch.randperm(len(X_train))
    epoch_loss = []
    for start in range(0, len(order), batch):
        rows = order[start:start + batch]
        optimizer.zero_grad()
        loss = criterion(net(X_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
        epoch_loss.append(loss.item())
    if (epoch + 1) % 10 == 0:
        print("Epoch: %d, Loss: %.3f" % (epoch + 1, np.mean(epoch_loss)))

net.eval()
with torch.no_grad():
    y_pred = net(X_test).squeeze().numpy() * y_std + y_mean
print("metric: r2 %.4f" % r2_score(y_test, y_pred))
