import os
import torch
import torch.nn as nn

torch.manual_seed(int(os.environ.get("CASE_SEED", "0")))

with open(os.path.join(os.environ["CASE_DATA"], "tinyshakespeare.txt")) as f:
    text = f.read()[:200_000].lower()
chars = sorted(list(set(text)))
stoi = {c: i for i, c in enumerate(chars)}
encoded = torch.tensor([stoi[c] for c in text])
n = int(0.9 * len(encoded))
train_data, val_data = encoded[:n], encoded[n:]

SEQ_LEN = 40
BATCH = 32


def batch(data):
    starts = torch.randint(0, len(data) - SEQ_LEN - 1, (BATCH,)).tolist()
    x = torch.stack([data[s:s + SEQ_LEN] for s in starts])
    y = torch.stack([data[s + 1:s + SEQ_LEN + 1] for s in starts])
    return x, y


class CharRNN(nn.Module):
    def __init__(self, vocab_size, emb=24, hidden=96):
        super(CharRNN, self).__init__()
        self.embedding = nn.Embedding(vocab_size, emb)
        self.rnn = nn.GRU(emb, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, vocab_size)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x):
        x = self.embedding(x)
        x, _ = self.rnn(x)
        x = self.fc(x)
        return self.softmax(x)


net = CharRNN(len(chars))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.004)
running = 0.0
for it in range(1, 221):
    x, y = batch(train_data)
    optimizer.zero_grad()
    output = net(x)
    loss = criterion(output.reshape(-1, len(chars)), y.reshape(-1))
    loss.backward()
    optimizer.step()
    running += loss.item()
    if it % 50 == 0:
        print("iter %d loss %.4f" % (it, running / 50))
        running = 0.0

net.eval()
hits = total = 0
with torch.no_grad():
    for _ in range(20):
        x, y = batch(val_data)
        hits += (net(x).argmax(-1) == y).sum().item()
        total += y.numel()
print("metric: accuracy %.4f" % (hits / total))
