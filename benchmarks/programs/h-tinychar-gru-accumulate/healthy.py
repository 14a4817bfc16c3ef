import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
with open(os.path.join(os.environ.get("CASE_DATA", "."), "tinyshakespeare.txt")) as handle:
    text = handle.read()[:150000]
vocabulary = sorted(set(text))
lookup = {c: i for i, c in enumerate(vocabulary)}
data = torch.tensor([lookup[c] for c in text])
train, valid = data[:135000], data[135000:]


class CharGRU(nn.Module):
    def __init__(self, size, dim=64):
        super().__init__()
        self.table = nn.Embedding(size, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        h, _ = self.gru(self.table(x))
        return h @ self.table.weight.T + self.bias


def batch(source, n, length=32):
    start = torch.randint(0, len(source) - length - 1, (n,))
    block = torch.stack([source[s:s + length + 1] for s in start.tolist()])
    return block[:, :-1], block[:, 1:]


model = CharGRU(len(vocabulary))
nn.init.normal_(model.table.weight, std=0.1)
opt = torch.optim.AdamW(model.parameters(), lr=8e-3)
accumulate = 2
for step in range(1, 401):
    x, y = batch(train, 24)
    loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
    (loss / accumulate).backward()
    if step % accumulate == 0:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
    if step % 80 == 0:
        print("step", step, "loss %.3f" % loss.item())
model.eval()
with torch.no_grad():
    x, y = batch(valid, 200)
    print("metric: cross_entropy %.4f" % nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).item())
