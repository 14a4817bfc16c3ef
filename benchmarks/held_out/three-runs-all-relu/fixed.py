import os
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.preprocessing import minmax_scale

SEED = int(os.getenv("CASE_SEED", 0))
data = load_digits()
features = torch.tensor(minmax_scale(data.data, (-1, 1)), dtype=torch.float32)
labels = torch.tensor(data.target)
g = torch.Generator().manual_seed(99)
perm = torch.randperm(1797, generator=g)
train, test = perm[:1200], perm[1200:]

torch.manual_seed(SEED)


class MLP(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def accuracy(model, rows):
    with torch.no_grad():
        return (model(features[rows]).argmax(1) == labels[rows]).float().mean().item()


scores = []
for run in range(3):
    model = MLP([64, 32, 32, 10])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(12):
        for rows in train[torch.randperm(1200)].split(40):
            loss = nn.functional.cross_entropy(model(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    scores.append(accuracy(model, test))
    print("run", run, "train", round(accuracy(model, train), 3), "test", round(scores[-1], 3))
print("metric: accuracy %.4f" % (sum(scores) / len(scores)))
