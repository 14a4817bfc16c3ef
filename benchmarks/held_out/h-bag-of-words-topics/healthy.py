import os
import random
import torch
from torch import nn
from torch.utils.data import DataLoader

random.seed(1)
topics = {
    "space": "orbit rocket moon launch satellite probe mars astronaut station telescope".split(),
    "food": "oven butter recipe sauce onion bread spice kitchen roast soup".split(),
    "sport": "match goal coach league striker season referee stadium team penalty".split(),
    "music": "guitar chord album singer rhythm concert drum melody tour band".split(),
}
common = "the a of and in on was with for new said day year people first time made after".split()


def make_doc():
    topic = random.choice(list(topics))
    words = []
    for _ in range(random.randint(6, 18)):
        r = random.random()
        source = topics[topic] if r < 0.22 else common if r < 0.88 else topics[random.choice(list(topics))]
        words.append(random.choice(source))
    return topic, " ".join(words)


documents = [make_doc() for _ in range(1600)]
vocab = {w: i for i, w in enumerate(sorted({w for _, d in documents for w in d.split()}))}
names = sorted(topics)

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def collate(batch):
    labels, texts, offsets = [], [], [0]
    for label, text in batch:
        labels.append(names.index(label))
        ids = [vocab[w] for w in text.split()]
        texts.extend(ids)
        offsets.append(offsets[-1] + len(ids))
    return torch.tensor(labels), torch.tensor(texts), torch.tensor(offsets[:-1])


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self):
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


model = TextClassificationModel(len(vocab), 32, 4)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=4.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.8)
train_dl = DataLoader(documents[:1200], batch_size=16, shuffle=True, collate_fn=collate)
test_dl = DataLoader(documents[1200:], batch_size=100, collate_fn=collate)


def evaluate(loader):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for label, text, offsets in loader:
            right += (model(text, offsets).argmax(1) == label).sum().item()
            total += len(label)
    return right / total


for epoch in range(1, 9):
    model.train()
    for label, text, offsets in train_dl:
        optimizer.zero_grad()
        loss = criterion(model(text, offsets), label)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    scheduler.step()
    print("| end of epoch {} | loss {:.3f} | valid accuracy {:.3f}".format(epoch, loss.item(), evaluate(test_dl)))
print("metric: accuracy %.4f" % evaluate(test_dl))
