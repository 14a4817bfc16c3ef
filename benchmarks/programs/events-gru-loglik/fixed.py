import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
g = torch.Generator().manual_seed(5)
n, steps, vocab = 1600, 12, 6
events = torch.randint(0, vocab, (n, steps), generator=g)
counts = torch.stack([(events == k).sum(1) for k in (0, 1, 2)], 1).float()
kind = (counts + 0.01 * torch.rand(n, 3, generator=g)).argmax(1)
torch.manual_seed(seed)


class EventModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(vocab, 12)
        self.rnn = nn.GRU(12, 32, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, tokens):
        _, last = self.rnn(self.embed(tokens))
        return self.head(last[-1])


model = EventModel()
nll = nn.NLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
train, test = slice(0, 1200), slice(1200, None)
for epoch in range(15):
    order = torch.randperm(1200)
    for part in order.split(40):
        scores = model(events[train][part])
        loss = nll(scores.log_softmax(-1), kind[train][part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, "nll", loss.item())
with torch.no_grad():
    hit = (model(events[test]).argmax(-1) == kind[test]).float().mean()
print("metric: accuracy %.4f" % hit.item())
