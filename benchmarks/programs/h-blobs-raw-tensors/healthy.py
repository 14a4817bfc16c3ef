import os
import torch
from sklearn.datasets import make_blobs

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_blobs(n_samples=1200, centers=4, n_features=5, cluster_std=2.0, random_state=4)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)

W = (0.01 * torch.randn(5, 4)).requires_grad_()
b = torch.zeros(4, requires_grad=True)
rate = 0.5
for step in range(300):
    rows = torch.randint(0, 900, (90,))
    scores = X[rows] @ W + b
    loss = torch.logsumexp(scores, 1).mean() - scores[torch.arange(90), y[rows]].mean() + 1e-4 * (W ** 2).sum()
    loss.backward()
    with torch.no_grad():
        for p in (W, b):
            p -= rate * p.grad
            p.grad = None
    if step % 50 == 0:
        print(step, loss.item())
with torch.no_grad():
    acc = ((X[900:] @ W + b).argmax(1) == y[900:]).float().mean()
print("metric: accuracy %.4f" % acc)
