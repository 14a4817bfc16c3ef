import os
import math
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(41)
N, L, V = 2600, 16, 10
tokens = torch.randint(1, V, (N, L), generator=g)
lengths = torch.randint(8, L + 1, (N,), generator=g)
pad = torch.arange(L)[None] >= lengths[:, None]
tokens[pad] = 0
label = ((tokens == 2).sum(1) > (tokens == 7).sum(1)).long()
torch.manual_seed(seed)


class Encoder(nn.Module):
    def __init__(self, dim=32, heads=4):
        super().__init__()
        self.embed = nn.Embedding(V, dim, padding_idx=0)
        self.position = nn.Parameter(torch.zeros(1, L, dim))
        self.attend = nn.MultiheadAttention(dim, heads, dropout=0.1, batch_first=True)
        self.n1, self.n2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ff = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, dim))
        self.out = nn.Linear(dim, 2)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, t):
        mask = t == 0
        h = self.embed(t) + self.position
        n = self.n1(h)
        h = h + self.attend(n, n, n, key_padding_mask=mask, need_weights=False)[0]
        h = h + self.ff(self.n2(h))
        keep = (~mask).unsqueeze(-1).float()
        return self.out((h * keep).sum(1) / keep.sum(1))


model = Encoder()
opt = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
steps, warm = 400, 40
rate = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: (s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (steps - warm))))
model.train()
for step in range(steps):
    i = torch.randint(0, 2000, (64,))
    loss = nn.functional.cross_entropy(model(tokens[i]), label[i])
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    rate.step()
    if step % 80 == 0:
        print("step", step, "loss %.4f" % loss.item())
model.eval()
with torch.no_grad():
    acc = (model(tokens[2000:]).argmax(1) == label[2000:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
