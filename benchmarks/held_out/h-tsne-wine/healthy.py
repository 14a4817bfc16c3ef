# t-SNE written out: the positions of the points are the parameters
import os
import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.manifold import trustworthiness
from sklearn.preprocessing import StandardScaler

data = StandardScaler().fit_transform(load_wine().data)
X = torch.tensor(data, dtype=torch.float64)


def joint_probabilities(X, perplexity=20.0):
    d = torch.cdist(X, X) ** 2
    n = len(X)
    P = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        lo, hi, beta = 0.0, float("inf"), 1.0
        row = torch.cat([d[i, :i], d[i, i + 1:]])
        for _ in range(40):
            p = torch.softmax(-row * beta, 0)
            entropy = -(p * (p + 1e-12).log()).sum()
            if entropy > np.log(perplexity):
                lo, beta = beta, beta * 2 if hi == float("inf") else (beta + hi) / 2
            else:
                hi, beta = beta, (beta + lo) / 2
        P[i, :i], P[i, i + 1:] = p[:i], p[i:]
    return ((P + P.T) / (2 * n)).clamp_min(1e-12).float()


P = joint_probabilities(X)
torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
Y = torch.nn.Parameter(torch.randn(len(X), 2) * 1e-2)
optimizer = torch.optim.SGD([Y], lr=40.0, momentum=0.5)
eye = torch.eye(len(X), dtype=torch.bool)
for step in range(400):
    exaggeration = 4.0 if step < 80 else 1.0
    if step == 80:
        optimizer.param_groups[0]["momentum"] = 0.8
    num = (1 / (1 + torch.cdist(Y, Y) ** 2)).masked_fill(eye, 0)
    Q = (num / num.sum()).clamp_min(1e-12)
    kl = (exaggeration * P * (exaggeration * P / Q).log()).masked_fill(eye, 0).sum()
    optimizer.zero_grad()
    kl.backward()
    optimizer.step()
    if step % 50 == 0:
        print(step, round(kl.item(), 4))
print("metric: trustworthiness %.4f" % trustworthiness(data, Y.detach().numpy(), n_neighbors=8))
