import os
import torch
import torch.nn as nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
T = 16


def sample(n):
    values = torch.rand(n, T)
    marks = torch.zeros(n, T)
    first = torch.randint(0, T // 2, (n, 1))
    second = torch.randint(T // 2, T, (n, 1))
    marks.scatter_(1, first, 1.0).scatter_(1, second, 1.0)
    return torch.stack([values, marks], 2), (values * marks).sum(1)


class Adder(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.cell = nn.GRUCell(2, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.cell.hidden_size)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return self.out(h).squeeze(1)


model = Adder()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for step in range(500):
    x, target = sample(64)
    loss = ((model(x) - target) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 50 == 0:
        print("step", step, "mse", round(loss.item(), 5))
with torch.no_grad():
    x, target = sample(2000)
    print("metric: mse_rel %.4f" % (((model(x) - target) ** 2).mean() / target.var()).item())
