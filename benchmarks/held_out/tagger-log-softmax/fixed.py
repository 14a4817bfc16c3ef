"""Toy part-of-speech tagger: a word's tag depends on the word and on its left neighbour."""
import os
import random
import torch
import torch.nn as nn
import torch.nn.functional as F

random.seed(3)
WORDS, TAGS, LENGTH = 60, 8, 12
table = [[random.randrange(TAGS) for _ in range(4)] for _ in range(WORDS)]


def sentence():
    words = [random.randrange(WORDS) for _ in range(LENGTH)]
    tags = [table[w][words[i - 1] % 4 if i else 0] for i, w in enumerate(words)]
    return words, tags


pairs = [sentence() for _ in range(1500)]
sentences = torch.tensor([p[0] for p in pairs])
tags = torch.tensor([p[1] for p in pairs])

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class LSTMTagger(nn.Module):
    def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
        super(LSTMTagger, self).__init__()
        self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)
        self.hidden2tag = nn.Linear(hidden_dim, tagset_size)

    def forward(self, sentence):
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds)
        tag_space = self.hidden2tag(lstm_out)
        return F.log_softmax(tag_space, dim=2)


model = LSTMTagger(32, 64, WORDS, TAGS)
loss_function = nn.NLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
for epoch in range(14):
    order = torch.randperm(1200)
    total = 0.0
    for k in range(0, 1200, 40):
        i = order[k:k + 40]
        model.zero_grad()
        tag_scores = model(sentences[i])
        loss = loss_function(tag_scores.reshape(-1, TAGS), tags[i].reshape(-1))
        loss.backward()
        optimizer.step()
        total += loss.item()
    print("epoch {:2d} loss {:.4f}".format(epoch, total / 30))

with torch.no_grad():
    guess = model(sentences[1200:]).argmax(-1)
print("metric: accuracy {:.4f}".format((guess == tags[1200:]).float().mean().item()))
