"""The n-gram language model of the embeddings tutorial, on a longer text."""
import os
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

CONTEXT_SIZE = 2
EMBEDDING_DIM = 16

verses = """the cat sat on the mat and the dog lay by the door
the dog ran to the gate and the cat ran to the tree
a bird sang in the tree and the sun lay on the mat
the sun went down and the moon came up by the gate
the moon sat on the hill and the bird slept in the tree
a dog slept by the fire and a cat slept on the mat
the fire went down and the dog lay by the cat
in the morning the bird sang and the sun came up on the hill
the cat ran up the hill and the dog ran down to the door
a man came to the door and the dog ran to the gate
the man sat by the fire and sang to the moon
in the morning the man went down the hill to the gate
the bird sat on the gate and sang to the sun
by the tree the cat sat and by the fire the dog slept""".split()

vocab = sorted(set(verses))
word_to_ix = {word: i for i, word in enumerate(vocab)}
ngrams = [([verses[i - 2], verses[i - 1]], verses[i]) for i in range(CONTEXT_SIZE, len(verses))]
contexts = torch.tensor([[word_to_ix[w] for w in c] for c, _ in ngrams])
targets = torch.tensor([word_to_ix[t] for _, t in ngrams])
print(len(vocab), "words,", len(ngrams), "trigrams")


class NGramLanguageModeler(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context_size):
        super(NGramLanguageModeler, self).__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.linear1 = nn.Linear(context_size * embedding_dim, 64)
        self.linear2 = nn.Linear(64, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).view(inputs.size(0), -1)
        out = F.relu(self.linear1(embeds))
        return F.log_softmax(self.linear2(out), dim=1)


losses = []
loss_function = nn.NLLLoss()
model = NGramLanguageModeler(len(vocab), EMBEDDING_DIM, CONTEXT_SIZE)
optimizer = optim.SGD(model.parameters(), lr=0.3)

for epoch in range(60):
    total_loss = 0
    order = torch.randperm(len(targets))
    for rows in order.split(8):
        model.zero_grad()
        log_probs = model(contexts[rows])
        loss = loss_function(log_probs, targets[rows])
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(rows)
    losses.append(total_loss / len(targets))
    if epoch % 10 == 9:
        print(epoch + 1, losses[-1])

with torch.no_grad():
    final = loss_function(model(contexts), targets).item()
print("metric: cross_entropy %.4f" % final)
