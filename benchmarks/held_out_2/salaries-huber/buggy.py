import os
import torch
import torch.nn as nn
import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import train_test_split

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)

# years of experience, education level, remote share, city size (log), team size, python?
N = 1500
raw = np.column_stack([
    np.random.gamma(3, 3, N), np.random.randint(0, 4, N), np.random.rand(N),
    np.random.normal(12, 1.3, N), np.random.poisson(8, N), np.random.randint(0, 2, N)])
salary = (28000 + 2100 * raw[:, 0] - 35 * raw[:, 0] ** 2 + 6500 * raw[:, 1] + 3000 * (raw[:, 3] - 12)
          + 4000 * raw[:, 5] * raw[:, 1] + np.random.normal(0, 4000, N))
salary += (np.random.rand(N) < 0.03) * np.random.exponential(60000, N)    # a few executives

X_train, X_test, y_train, y_test = train_test_split(raw, salary, test_size=0.2, random_state=seed)
sx = StandardScaler()
X_train = torch.FloatTensor(sx.fit_transform(X_train))
X_test = torch.FloatTensor(sx.transform(X_test))
y_train = torch.FloatTensor(y_train.reshape(-1, 1))
y_test = torch.FloatTensor(y_test.reshape(-1, 1))


class SalaryNet(nn.Module):
    def __init__(self, d_in):
        super(SalaryNet, self).__init__()
        self.fc1 = nn.Linear(d_in, 64)
        self.fc2 = nn.Linear(64, 32)
        self.fc3 = nn.Linear(32, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


model = SalaryNet(X_train.shape[1])
criterion = nn.HuberLoss(delta=1.0)
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)

EPOCHS, BS = 25, 32
for epoch in range(EPOCHS):
    permutation = torch.randperm(X_train.size(0))
    epoch_loss = 0
    for i in range(0, X_train.size(0), BS):
        indices = permutation[i:i + BS]
        batch_x, batch_y = X_train[indices], y_train[indices]
        optimizer.zero_grad()
        loss = criterion(model(batch_x), batch_y)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * len(indices)
    with torch.no_grad():
        test_loss = criterion(model(X_test), y_test).item()
    if (epoch + 1) % 5 == 0:
        print("epoch", epoch + 1, "train", round(epoch_loss / len(X_train), 4), "test", round(test_loss, 4))

with torch.no_grad():
    error = (model(X_test) - y_test).abs().median()
    spread = (y_test - y_test.median()).abs().median()
print("metric: relative_error", round((error / spread).item(), 4))
