# streaming linear regression with recursive features, one sample a step
import os
import numpy as np
import torch

rng = np.random.default_rng(12 + int(os.environ.get("CASE_SEED", 0)))
torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
weights = np.array([0.8, -0.5, 0.3, 0.0, 0.6])
w = torch.nn.Linear(5, 1)
opt = torch.optim.SGD(w.parameters(), lr=0.01)
errors, truth = [], []
for t in range(3000):
    x = rng.normal(size=5)
    y = weights @ x + 0.2 + 0.3 * rng.normal()
    pred = w(torch.tensor(x, dtype=torch.float32))
    loss = (pred - y).pow(2).squeeze()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if t >= 2000:
        errors.append(loss.item())
        truth.append(y)
    if t % 300 == 0:
        print(t, loss.item())
print("metric: r2 %.4f" % (1 - np.mean(errors) / np.var(truth)))
