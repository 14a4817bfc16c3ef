import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
path = os.path.join(os.environ.get("CASE_DATA", "."), "tinyshakespeare.txt")
text = open(path).read()[:120000].lower()
chars = sorted(set(text))
index = {c: i for i, c in enumerate(chars)}
codes = torch.tensor([index[c] for c in text])
context = 6
windows = codes.unfold(0, context + 1, 1)
X, Y = windows[:, :context], windows[:, context]
cut = int(0.9 * len(X))


class NextLetter(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, 16)
        self.hidden = nn.Linear(context * 16, 128)
        self.out = nn.Linear(128, vocab)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(self.embed(x).flatten(1))))


model = NextLetter(len(chars))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)
criterion = nn.CrossEntropyLoss()
epochs, steps = 8, 100
for epoch in range(epochs):
    total = 0.0
    for _ in range(steps):
        rows = torch.randint(0, cut, (128,))
        optimizer.zero_grad()
        loss = criterion(model(X[rows]), Y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step()
    print(f"epoch {epoch} loss {total / steps:.4f}")
with torch.no_grad():
    rows = torch.arange(cut, len(X), 3)
    print("metric: cross_entropy %.4f" % criterion(model(X[rows]), Y[rows]).item())
