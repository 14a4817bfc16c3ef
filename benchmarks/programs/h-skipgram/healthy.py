import os
import torch
from torch import nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(55)
V, TOPICS = 60, 6
topic_of = torch.arange(V) % TOPICS
pool = torch.stack([torch.nonzero(topic_of == k).flatten() for k in range(TOPICS)])
n = 12000
t = torch.randint(0, TOPICS, (n,), generator=g)
pick = lambda: pool[t, torch.randint(0, V // TOPICS, (n,), generator=g)]
centre, context = pick(), pick()
stray = torch.rand(n, generator=g) < 0.15
context[stray] = torch.randint(0, V, (int(stray.sum()),), generator=g)
torch.manual_seed(seed)


class SkipGram(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.inner = nn.Embedding(size, dim)
        self.outer = nn.Embedding(size, dim)
        nn.init.uniform_(self.inner.weight, -0.5, 0.5)
        nn.init.uniform_(self.outer.weight, -0.5, 0.5)

    def forward(self, c, o, negative):
        c = self.inner(c)
        good = (c * self.outer(o)).sum(1)
        bad = torch.einsum("bd,bkd->bk", c, self.outer(negative))
        return -(F.logsigmoid(good) + F.logsigmoid(-bad).sum(1)).mean()


model = SkipGram(V, 10)
opt = torch.optim.Adagrad(model.parameters(), lr=0.3)
for epoch in range(3):
    for i in torch.randperm(n).split(100):
        loss = model(centre[i], context[i], torch.randint(0, V, (len(i), 4)))
        opt.zero_grad()
        loss.backward()
        opt.step()
    print("epoch", epoch, "loss %.3f" % loss.item())
with torch.no_grad():
    e = F.normalize(model.inner.weight, dim=1)
    s = e @ e.T - 2 * torch.eye(V)
    near = s.topk(5).indices
    precision = (topic_of[near] == topic_of[:, None]).float().mean().item()
print("metric: precision %.4f" % precision)
