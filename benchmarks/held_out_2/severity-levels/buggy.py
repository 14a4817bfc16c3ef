import os, random
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed); np.random.seed(seed); torch.manual_seed(seed)

# disease severity 0..4, graded by a pathologist
K = 5
n = 1500
z = np.random.randn(n, 6).astype("float32")
score = z[:, 0] + 0.8 * z[:, 1] - 0.6 * z[:, 2] ** 2 + 0.5 * z[:, 3] + 0.2 * np.random.randn(n)
grade = np.digitize(score, np.quantile(score, [0.2, 0.4, 0.6, 0.8]))


def encode(g):
    # 3 -> [1, 1, 1, 0]
    return (np.arange(K - 1)[None, :] < g[:, None]).astype("float32")


def decode(p):
    return (p > 0.5).sum(dim=1)


X = torch.tensor(z)
Y = torch.tensor(encode(grade))
G = torch.tensor(grade)
Xtr, Ytr, Xte, Gte = X[:1100], Y[:1100], X[1100:], G[1100:]


class Grader(nn.Module):
    def __init__(self):
        super().__init__()
        self.h1 = nn.Linear(6, 48)
        self.h2 = nn.Linear(48, 48)
        self.cut = nn.Linear(48, K - 1)

    def forward(self, x):
        x = F.silu(self.h1(x))
        x = F.silu(self.h2(x))
        return self.cut(x)


net = Grader()
opt = torch.optim.RMSprop(net.parameters(), lr=1e-3)
batch = 50
for ep in range(18):
    order = np.random.permutation(len(Xtr))
    s = 0
    for k in range(0, len(order), batch):
        i = order[k:k + batch]
        out = net(Xtr[i])
        loss = F.cross_entropy(out, Ytr[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
        s += loss.item()
    if ep % 6 == 5:
        with torch.no_grad():
            pred = decode(F.softmax(net(Xte), dim=1))
        print(ep + 1, "loss", round(s / (len(order) / batch), 4), "mae", round((pred - Gte).abs().float().mean().item(), 3))

print("metric: mae", round((pred - Gte).abs().float().mean().item(), 4))
