import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(15)
U, I, K = 120, 80, 4
taste, genre = torch.randn(U, K, generator=g), torch.randn(I, K, generator=g)
n = 6000
user = torch.randint(0, U, (n,), generator=g)
item = torch.randint(0, I, (n,), generator=g)
rating = (taste[user] * genre[item]).sum(1) / 2 + 0.1 * torch.randn(n, generator=g)
torch.manual_seed(seed)


class Recommender(nn.Module):
    def __init__(self, dim=12):
        super().__init__()
        self.user_factors = nn.Embedding(U, dim)
        self.item_factors = nn.Embedding(I, dim)
        self.user_bias = nn.Embedding(U, 1)
        self.item_bias = nn.Embedding(I, 1)
        nn.init.normal_(self.user_factors.weight, std=0.3)
        nn.init.normal_(self.item_factors.weight, std=0.3)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, u, i):
        p = self.user_factors(u)
        q = self.user_factors(u)
        return (p * q).sum(1) + self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1)


model = Recommender()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, weight_decay=1e-5)
for epoch in range(15):
    for idx in torch.randperm(5000).split(100):
        loss = nn.functional.mse_loss(model(user[idx], item[idx]), rating[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "loss", loss.item())
with torch.no_grad():
    e = model(user[5000:], item[5000:]) - rating[5000:]
    print("metric: r2 %.4f" % (1 - (e ** 2).mean() / rating[5000:].var()).item())
