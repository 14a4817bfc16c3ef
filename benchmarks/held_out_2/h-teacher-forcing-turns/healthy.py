"""Sequence to sequence, the tutorial way: encoder, decoder, two optimizers, teacher forcing half of the time."""
import os
import random

import torch
import torch.nn as nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)

SOS, VOCAB, LEN, HID = 0, 9, 5, 64


def batch(n):
    src = torch.randint(1, VOCAB, (n, LEN))
    return src, src.flip(1)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, 16)
        self.rnn = nn.GRU(16, HID, batch_first=True)

    def forward(self, src):
        return self.rnn(self.embed(src))[1]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, 16)
        self.cell = nn.GRUCell(16, HID)
        self.out = nn.Linear(HID, VOCAB)

    def step(self, token, h):
        h = self.cell(self.embed(token), h)
        return self.out(h), h


encoder, decoder = Encoder(), Decoder()
enc_opt = torch.optim.Adam(encoder.parameters(), lr=5e-3)
dec_opt = torch.optim.Adam(decoder.parameters(), lr=5e-3)


def train_step(src, tgt, forcing):
    enc_opt.zero_grad()
    dec_opt.zero_grad()
    h = encoder(src)[0]
    token = torch.full((len(src),), SOS)
    loss = 0
    for t in range(LEN):
        logits, h = decoder.step(token, h)
        loss = loss + F.cross_entropy(logits, tgt[:, t])
        token = tgt[:, t] if forcing else logits.argmax(1).detach()
    loss.backward()
    enc_opt.step()
    dec_opt.step()
    return loss.item() / LEN


losses = []
for it in range(1, 501):
    losses.append(train_step(*batch(48), forcing=random.random() < 0.5))
    if it % 100 == 0:
        print(f"{it} {sum(losses[-100:]) / 100:.4f}")

src, tgt = batch(500)
with torch.no_grad():
    h, token, hits = encoder(src)[0], torch.full((500,), SOS), []
    for t in range(LEN):
        logits, h = decoder.step(token, h)
        token = logits.argmax(1)
        hits.append(token == tgt[:, t])
print("metric: symbols_right", round(torch.stack(hits).float().mean().item(), 4))
