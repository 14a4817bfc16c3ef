import os
import torch
import torch.nn as nn
from sklearn.model_selection import train_test_split

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
g = torch.Generator().manual_seed(23)
inputs = torch.randn(2400, 5, generator=g)
outputs = inputs[:, 0] * inputs[:, 1] + torch.cos(2 * inputs[:, 2]) + 0.5 * inputs[:, 3] + 0.1 * torch.randn(2400, generator=g)
outputs = (outputs - outputs.mean()) / outputs.std()
x_train, x_test, y_train, y_test = train_test_split(inputs, outputs.unsqueeze(1), test_size=0.2, random_state=0)


class RegressionNet(nn.Module):
    def __init__(self, dropout=0.0):
        super(RegressionNet, self).__init__()
        self.hidden1 = nn.Linear(5, 100)
        self.bn1 = nn.BatchNorm1d(100)
        self.hidden2 = nn.Linear(100, 50)
        self.dropout = nn.Dropout(dropout)
        self.predict = nn.Linear(50, 1)

    def forward(self, x):
        x = torch.relu(self.bn1(self.hidden1(x)))
        x = self.dropout(torch.relu(self.hidden2(x)))
        return self.predict(x)


model = RegressionNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
best = float("inf")
for epoch in range(25):
    model.train()
    for rows in torch.randperm(len(x_train)).split(64):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val = nn.functional.mse_loss(model(x_test), y_test).item()
    best = min(best, val)
    if epoch % 5 == 4:
        print("epoch %d train %.4f val %.4f best %.4f" % (epoch + 1, loss.item(), val, best))
print("metric: r2 %.4f" % (1 - val / y_test.var().item()))
