import os
import random
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)

NOUNS, VERBS, BOTH = range(2, 22), range(22, 42), range(42, 62)     # words of the last group may be either
DET, TO = 62, 63
TAGS = {"DET": 0, "NOUN": 1, "VERB": 2, "TO": 3}


def sentence():
    words, tags = [], []
    for _ in range(random.randint(1, 4)):
        if random.random() < 0.5:
            words += [DET, random.choice([*NOUNS, *BOTH])]
            tags += [TAGS["DET"], TAGS["NOUN"]]
        else:
            words += [TO, random.choice([*VERBS, *BOTH])]
            tags += [TAGS["TO"], TAGS["VERB"]]
        if random.random() < 0.4:
            words.append(random.choice(NOUNS)); tags.append(TAGS["NOUN"])
    return torch.tensor(words), torch.tensor(tags)


def collate(rows):
    rows = sorted(rows, key=lambda r: -len(r[0]))
    lengths = torch.tensor([len(w) for w, _ in rows])
    return (pad_sequence([w for w, _ in rows], batch_first=True),
            pad_sequence([t for _, t in rows], batch_first=True, padding_value=-100), lengths)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(64, 24, padding_idx=0)
        self.lstm = nn.LSTM(24, 32, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.tag = nn.Linear(64, len(TAGS))

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.drop(self.emb(words)), lengths, batch_first=True)
        h, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.tag(h)


corpus = [sentence() for _ in range(800)]
train = DataLoader(corpus[:600], batch_size=20, shuffle=True, collate_fn=collate)
test = DataLoader(corpus[600:], batch_size=50, collate_fn=collate)
model = Tagger()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
criterion = nn.CrossEntropyLoss(ignore_index=-100)

for epoch in range(6):
    model.train()
    loss_sum = 0.0
    for words, tags, lengths in train:
        optimizer.zero_grad()
        loss = criterion(model(words, lengths).transpose(1, 2), tags)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss_sum += loss.item()
    print("epoch", epoch + 1, "loss", round(loss_sum / len(train), 4))

model.eval()
good = total = 0
with torch.no_grad():
    for words, tags, lengths in test:
        mask = tags != -100
        good += (model(words, lengths).argmax(-1)[mask] == tags[mask]).sum().item()
        total += mask.sum().item()
print("metric: accuracy", round(good / total, 4))
