import os
import torch

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(12)
n, k = 300, 3
group = torch.arange(n) % k
same = group[:, None] == group[None, :]
prob = torch.where(same, 0.12, 0.02)
upper = torch.triu(torch.rand(n, n, generator=g) < prob, diagonal=1).float()
A = upper + upper.T + torch.eye(n)
d = A.sum(1).rsqrt()
A = d[:, None] * A * d[None, :]
X = torch.randn(n, 10, generator=g)
X[:, :3] += torch.nn.functional.one_hot(group, 3) * 0.8
order = torch.randperm(n, generator=g)
labelled, hidden = order[:60], order[60:]

torch.manual_seed(seed)


class GCN(torch.nn.Module):
    def __init__(self, d_in, d_hidden, d_out):
        super().__init__()
        self.w1 = torch.nn.Parameter(torch.empty(d_in, d_hidden))
        self.w2 = torch.nn.Parameter(torch.empty(d_hidden, d_out))
        self.b = torch.nn.Parameter(torch.zeros(d_out))
        torch.nn.init.xavier_uniform_(self.w1)
        torch.nn.init.xavier_uniform_(self.w2)

    def forward(self, a, x):
        h = torch.relu(a @ (x @ self.w1))
        h = torch.nn.functional.dropout(h, 0.4, self.training)
        return a @ (h @ self.w2) + self.b


gcn = GCN(10, 32, k)
opt = torch.optim.Adam(gcn.parameters(), lr=0.01, weight_decay=5e-3)
for epoch in range(150):
    gcn.train()
    opt.zero_grad()
    out = gcn(A, X)
    loss = torch.nn.functional.cross_entropy(out[labelled], group[labelled])
    loss.backward()
    opt.step()
    if epoch % 25 == 0:
        print(epoch, loss.item())
gcn.eval()
with torch.no_grad():
    acc = (gcn(A, X).argmax(1)[hidden] == group[hidden]).float().mean().item()
print(f"metric: accuracy {acc:.4f}")
