import os
import torch
from torch import nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(90)
N, BIDS, GOODS = 2500, 8, 4
price = torch.randn(N, BIDS, 1, generator=g)
item = torch.randint(0, GOODS, (N, BIDS), generator=g)
bids = torch.cat([price, F.one_hot(item, GOODS).float()], dim=2)
winner = item.gather(1, price.squeeze(2).argmax(1, keepdim=True)).squeeze(1)
torch.manual_seed(seed)


class Auction(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.token = nn.Linear(1 + GOODS, dim)
        self.score = nn.Linear(1 + GOODS, 1)
        self.head = nn.Linear(dim, GOODS)

    def forward(self, bids):
        h = self.token(bids)
        weights = torch.softmax(self.score(bids), dim=-1)
        pooled = (weights * h).sum(dim=1)
        return self.head(pooled)


model = Auction()
opt = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(15):
    for i in torch.randperm(2000).split(50):
        loss = F.cross_entropy(model(bids[i]), winner[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "loss %.4f" % loss.item())
with torch.no_grad():
    acc = (model(bids[2000:]).argmax(1) == winner[2000:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
