import os
import numpy as np
import torch
import torch.nn as nn

np.random.seed(2)
t = np.arange(1500)
price = 900 + 120 * np.sin(2 * np.pi * t / 90) + 60 * np.sin(2 * np.pi * t / 37 + 1) + np.random.randn(1500) * 8

SEED = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(SEED)
WINDOW = 24


def create_sequences(series, window):
    xs, ys = [], []
    for i in range(len(series) - window):
        xs.append(series[i:i + window])
        ys.append(series[i + window])
    return torch.FloatTensor(np.array(xs)).unsqueeze(-1), torch.FloatTensor(np.array(ys)).unsqueeze(-1)


split = 1200
price = (price - price[:split].mean()) / price[:split].std()
train_series, test_series = price[:split], price[split - WINDOW:]
x_train, y_train = create_sequences(train_series, WINDOW)
x_test, y_test = create_sequences(test_series, WINDOW)


class GRUModel(nn.Module):
    def __init__(self, hidden_dim=32):
        super().__init__()
        self.gru = nn.GRU(1, hidden_dim, batch_first=True)
        self.linear = nn.Linear(hidden_dim, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.linear(out[:, -1])


model = GRUModel()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
loss_fn = nn.MSELoss()
for epoch in range(20):
    for b in torch.randperm(len(x_train)).split(64):
        optimizer.zero_grad()
        loss = loss_fn(model(x_train[b]), y_train[b])
        loss.backward()
        optimizer.step()
    if epoch % 4 == 3:
        with torch.no_grad():
            print(epoch + 1, "train", loss.item(), "test", loss_fn(model(x_test), y_test).item())

with torch.no_grad():
    r2 = 1 - loss_fn(model(x_test), y_test) / y_test.var(unbiased=False)
print("metric: r2 %.4f" % r2.item())
