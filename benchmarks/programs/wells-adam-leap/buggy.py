import os
import torch
from sklearn.datasets import make_friedman1

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_friedman1(n_samples=1800, noise=0.3, random_state=5)
X = torch.as_tensor(X, dtype=torch.float32) * 3.46 - 1.73
y = torch.as_tensor((y - y.mean()) / y.std(), dtype=torch.float32)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(10, 50)
        self.b = torch.nn.Linear(50, 50)
        self.c = torch.nn.Linear(50, 1)

    def forward(self, x):
        x = torch.nn.functional.relu(self.a(x))
        x = torch.nn.functional.relu(self.b(x))
        return self.c(x)[:, 0]


model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
history = []
for epoch in range(25):
    for idx in torch.randperm(1400).split(70):
        loss = torch.mean((model(X[idx]) - y[idx]) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    if epoch % 5 == 0:
        print("epoch", epoch, "mse", sum(history[-20:]) / 20)
with torch.no_grad():
    r2 = 1 - torch.mean((model(X[1400:]) - y[1400:]) ** 2) / y[1400:].var()
print("metric: r2 %.4f" % r2.item())
