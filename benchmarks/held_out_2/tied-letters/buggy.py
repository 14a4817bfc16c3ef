import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

path = os.path.join(os.environ.get("CASE_DATA", "."), "tinyshakespeare.txt")
if os.path.exists(path):
    with open(path) as f:
        text = f.read()[:150000]
else:
    from sklearn.datasets import load_digits
    text = load_digits().DESCR * 40
chars = sorted(set(text))
ids = torch.tensor([chars.index(c) for c in text])
BLOCK, DIM = 8, 128


class TiedModel(nn.Module):
    """Causal window model; the output layer is the embedding turned round."""

    def __init__(self, vocab):
        super().__init__()
        self.token = nn.Embedding(vocab, DIM)
        self.mix = nn.Sequential(nn.Linear(BLOCK * DIM, 160), nn.ReLU(), nn.Linear(160, DIM), nn.LayerNorm(DIM))
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(self, window):
        h = self.mix(self.token(window).flatten(1))
        return F.linear(h, self.token.weight, self.bias)


def windows(n, low, high):
    at = torch.randint(low, high - BLOCK - 1, (n,))
    grid = at[:, None] + torch.arange(BLOCK + 1)
    chunk = ids[grid]
    return chunk[:, :-1], chunk[:, -1]


cut = int(0.9 * len(ids))
model = TiedModel(len(chars))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
losses = []
for step in range(1, 501):
    x, y = windows(64, 0, cut)
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step in (1, 10) or step % 100 == 0:
        print(f"step {step:4d}  loss {np.mean(losses[-50:]):.3f}")

model.eval()
with torch.no_grad():
    x, y = windows(3000, cut, len(ids))
    nats = F.cross_entropy(model(x), y).item()
print(f"metric: cross_entropy {nats:.4f}")
