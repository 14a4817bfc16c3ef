import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
gen = torch.Generator().manual_seed(77)
length, vocab = 14, 12
seqs = torch.randint(0, vocab, (2200, length), generator=gen)
label = ((seqs[:, :-1] == 3) & (seqs[:, 1:] == 5)).any(1)
plant = torch.rand(2200, generator=gen) < 0.45
where = torch.randint(0, length - 1, (2200,), generator=gen)
for i in torch.nonzero(plant).flatten().tolist():
    seqs[i, where[i]], seqs[i, where[i] + 1] = 3, 5
label = ((seqs[:, :-1] == 3) & (seqs[:, 1:] == 5)).any(1).long()

torch.manual_seed(seed)


class Spotter(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.tok = nn.Embedding(vocab, dim)
        self.pos = nn.Embedding(length, dim)
        block = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.enc = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.cls = nn.Linear(dim, 2)

    def forward(self, s):
        h = self.enc(self.tok(s) + self.pos(torch.arange(length)))
        return self.cls(self.norm(h).amax(dim=1))


model = Spotter()
optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
for epoch in range(8):
    losses = []
    for idx in torch.randperm(1800).split(60):
        loss = nn.functional.cross_entropy(model(seqs[idx]), label[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch} loss {sum(losses) / len(losses):.4f}")

model.eval()
with torch.no_grad():
    acc = (model(seqs[1800:]).argmax(1) == label[1800:]).float().mean().item()
print(f"metric: accuracy {acc:.4f}")
