import os
import torch
from sklearn.datasets import make_circles

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_circles(1400, factor=0.45, noise=0.09, random_state=1)
X = torch.tensor(X, dtype=torch.float32) * 1.5
y = torch.tensor(y, dtype=torch.float32)

model = torch.nn.Sequential()
sizes = [2, 32, 32, 16]
for i in range(3):
    model.add_module(f"dense{i}", torch.nn.Linear(sizes[i], sizes[i + 1]))
    model.add_module(f"drop{i}", torch.nn.Dropout(0.05))
model.add_module("score", torch.nn.Linear(16, 1))

optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
bce = torch.nn.functional.binary_cross_entropy_with_logits
for epoch in range(30):
    model.train()
    for rows in torch.randperm(1000).split(50):
        optimizer.zero_grad()
        loss = bce(model(X[rows]).flatten(), y[rows])
        loss.backward()
        optimizer.step()
    if epoch % 6 == 0:
        print(epoch, loss.item())
model.eval()
with torch.no_grad():
    acc = ((model(X[1000:]).flatten() > 0) == (y[1000:] > 0.5)).float().mean().item()
print("metric: accuracy %.4f" % acc)
