# movie review style sentiment on made-up token sequences
import os
import numpy as np
import torch
import torch.nn as nn

rng = np.random.default_rng(40)
VOCAB, PAD, LEN = 200, 0, 24
good, bad, negate = np.arange(1, 31), np.arange(31, 61), 61


def review():
    n = rng.integers(10, LEN + 1)
    words = rng.integers(62, VOCAB, n)
    label, k = rng.integers(0, 2), rng.integers(2, 5)
    for pos in rng.choice(np.arange(1, n), k, replace=False):
        flip = rng.random() < 0.3
        pool = good if bool(label) != flip else bad
        words[pos] = rng.choice(pool)
        if flip:
            words[pos - 1] = negate
    return np.pad(words, (0, LEN - n)), label, n


rows = [review() for _ in range(1800)]
tokens = torch.tensor(np.array([r[0] for r in rows]))
labels = torch.tensor([float(r[1]) for r in rows])
lengths = torch.tensor([int(r[2]) for r in rows])

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class SentimentLSTM(nn.Module):
    def __init__(self, embedding_dim=32, hidden_dim=48):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, embedding_dim, padding_idx=PAD)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(hidden_dim, 1)

    def forward(self, x, n):
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(x), n, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.fc(self.dropout(h[-1])).squeeze(1)


model = SentimentLSTM()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
for epoch in range(9):
    model.train()
    epoch_loss = 0
    for idx in torch.randperm(1400).split(50):
        optimizer.zero_grad()
        loss = criterion(model(tokens[idx], lengths[idx]), labels[idx])
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    model.eval()
    with torch.no_grad():
        acc = ((model(tokens[1400:], lengths[1400:]) > 0) == (labels[1400:] > 0.5)).float().mean().item()
    print(f"Epoch: {epoch + 1:02} | Train Loss: {epoch_loss / 28:.3f} | Val. Acc: {acc * 100:.2f}%")
print("metric: accuracy %.4f" % acc)
