"""Exercise 3: word2vec with negative sampling."""
import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.RandomState(seed)
torch.manual_seed(seed)

# toy corpus: every sentence is about one theme
THEMES, PER_THEME, COMMON = 6, 12, 8
VOCAB = THEMES * PER_THEME + COMMON
sentences = []
for _ in range(700):
    theme = rng.randint(THEMES)
    own = theme * PER_THEME + rng.randint(PER_THEME, size=8)
    filler = THEMES * PER_THEME + rng.randint(COMMON, size=3)
    sentence = np.concatenate([own, filler])
    rng.shuffle(sentence)
    sentences.append(sentence)

centre, context = [], []
for s in sentences:
    for i in range(len(s)):
        for j in range(max(0, i - 2), min(len(s), i + 3)):
            if i != j:
                centre.append(s[i])
                context.append(s[j])
centre, context = torch.tensor(np.array(centre)), torch.tensor(np.array(context))
counts = torch.bincount(context, minlength=VOCAB).float()
noise = counts ** 0.75 / (counts ** 0.75).sum()


class Word2Vec(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.inp = nn.Embedding(vocab, dim)
        self.out = nn.Embedding(vocab, dim)
        nn.init.uniform_(self.inp.weight, -0.5 / dim, 0.5 / dim)
        nn.init.normal_(self.out.weight, std=0.05)

    def forward(self, c, pos, neg):
        v = self.inp(c)
        pos_score = (v * self.out(pos)).sum(-1)
        neg_score = torch.einsum("bd,bkd->bk", v, self.out(neg))
        return -(F.logsigmoid(pos_score) + F.logsigmoid(-neg_score).sum(1)).mean()


model = Word2Vec(VOCAB, 20)
opt = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(5):
    total = 0
    perm = torch.randperm(len(centre))
    for idx in perm.split(256):
        neg = torch.multinomial(noise, len(idx) * 5, replacement=True).view(-1, 5)
        loss = model(centre[idx], context[idx], neg)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item() * len(idx)
    print(f"epoch {epoch}: {total / len(centre):.4f}")

vec = F.normalize(model.inp.weight.detach()[:THEMES * PER_THEME], dim=1)
sim = vec @ vec.T
sim.fill_diagonal_(-9)
nearest = sim.topk(5, dim=1).indices // PER_THEME
own = torch.arange(THEMES * PER_THEME)[:, None] // PER_THEME
print("metric: same_theme", round((nearest == own).float().mean().item(), 4))
