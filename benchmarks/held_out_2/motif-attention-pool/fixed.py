import os
import random

import torch
from torch import nn

SEED = int(os.environ.get("CASE_SEED", 0))
random.seed(SEED)
torch.manual_seed(SEED)

BASES = "ACGT"
MOTIFS = ["TATAAA", "GGGCGG", "CCAATC"]


def promoter(label, length=60):
    seq = [random.choice(BASES) for _ in range(length)]
    if label > 0:
        at = random.randrange(length - 6)
        seq[at:at + 6] = MOTIFS[label - 1]
    return [BASES.index(c) for c in seq]


labels = [random.randrange(4) for _ in range(1400)]
reads = torch.tensor([promoter(k) for k in labels])
labels = torch.tensor(labels)


class AttentionPool(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) / width ** 0.5)
        self.key = nn.Linear(width, width)

    def forward(self, h, return_weights=False):
        scores = torch.tanh(self.key(h)) @ self.query
        weights = torch.softmax(scores, dim=1)
        pooled = (weights.unsqueeze(-1) * h).sum(dim=1)
        return (pooled, weights) if return_weights else pooled


class PromoterNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Embedding(4, 8)
        self.conv = nn.Conv1d(8, width, kernel_size=7, padding=3)
        self.pool = AttentionPool(width)
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, 4)

    def forward(self, ids):
        h = self.conv(self.embed(ids).transpose(1, 2)).relu().transpose(1, 2)
        return self.classify(self.norm(self.pool(h)))


model = PromoterNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(18):
    model.train()
    history = []
    for idx in torch.randperm(1100).split(32):
        optimizer.zero_grad()
        loss = loss_fn(model(reads[idx]), labels[idx])
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1}: first {history[0]:.3f} last {history[-1]:.3f} mean {sum(history) / len(history):.3f}")

model.eval()
with torch.no_grad():
    accuracy = (model(reads[1100:]).argmax(-1) == labels[1100:]).float().mean().item()
print("metric: accuracy", round(accuracy, 4))
