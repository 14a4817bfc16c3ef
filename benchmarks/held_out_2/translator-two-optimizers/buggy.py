import os
import random
import torch
import torch.nn as nn
from torch import optim

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)

ONES = "zero one two three four five six seven eight nine".split()
SOS, EOS = 0, 1
src_vocab = {c: i for i, c in enumerate("0123456789")}
tgt_vocab = {w: i + 2 for i, w in enumerate(ONES + ["double", "triple"])}


def speak(digits):
    """4477 -> double four double seven"""
    words, i = [], 0
    while i < len(digits):
        run = 1
        while i + run < len(digits) and digits[i + run] == digits[i] and run < 3:
            run += 1
        words += [["double"], ["triple"]][run - 2] * (run > 1) + [ONES[int(digits[i])]]
        i += run
    return words


def pair():
    digits = ""
    while len(digits) < 4:
        digits += random.choice("0123456789") * random.choice([1, 1, 2, 3])
    digits = digits[:4]
    words = [tgt_vocab[w] for w in speak(digits)] + [EOS]
    return [src_vocab[c] for c in digits], words + [EOS] * (5 - len(words))


pairs = [pair() for _ in range(2000)]
source = torch.tensor([p[0] for p in pairs])
target = torch.tensor([p[1] for p in pairs])


class EncoderRNN(nn.Module):
    def __init__(self, n, hidden):
        super(EncoderRNN, self).__init__()
        self.embedding = nn.Embedding(n, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, x):
        output, hidden = self.gru(self.embedding(x))
        return hidden


class DecoderRNN(nn.Module):
    def __init__(self, n, hidden):
        super(DecoderRNN, self).__init__()
        self.embedding = nn.Embedding(n, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n)

    def forward(self, token, hidden):
        output, hidden = self.gru(self.embedding(token), hidden)
        return self.out(output), hidden


encoder, decoder = EncoderRNN(10, 64), DecoderRNN(14, 64)
encoder_optimizer = optim.SGD(encoder.parameters(), lr=0.1, momentum=0.9)
decoder_optimizer = optim.SGD(decoder.parameters(), lr=0.1, momentum=0.9)
criterion = nn.CrossEntropyLoss()


def train(src, tgt):
    encoder_optimizer.zero_grad()
    hidden = encoder(src)
    shifted = torch.cat([torch.full((len(src), 1), SOS), tgt[:, :-1]], dim=1)
    logits, _ = decoder(shifted, hidden)
    loss = criterion(logits.reshape(-1, 14), tgt.reshape(-1))
    loss.backward()
    encoder_optimizer.step()
    decoder_optimizer.step()
    return loss.item()


def evaluate(src):
    with torch.no_grad():
        hidden = encoder(src)
        token, said = torch.full((len(src), 1), SOS), []
        for _ in range(5):
            logits, hidden = decoder(token, hidden)
            token = logits.argmax(-1)
            said.append(token)
    return torch.cat(said, 1)


for epoch in range(16):
    loss = sum(train(source[i], target[i]) for i in torch.randperm(1700).split(32)) / 54
    if epoch % 2:
        print("epoch", epoch + 1, "loss %.4f" % loss)

right = (evaluate(source[1700:]) == target[1700:]).float().mean().item()
print("metric: words_right", round(right, 4))
