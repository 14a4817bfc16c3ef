# Value network for noughts and crosses, trained on random playouts
import os
import random

import torch

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def winner(b):
    for i, j, k in LINES:
        if b[i] and b[i] == b[j] == b[k]:
            return b[i]
    return 0


cache = {}


def minimax(b, player):
    key = (tuple(b), player)
    if key in cache:
        return cache[key]
    w = winner(b)
    if w or all(b):
        cache[key] = w
        return w
    results = []
    for m in range(9):
        if not b[m]:
            b[m] = player
            results.append(minimax(b, -player))
            b[m] = 0
    cache[key] = max(results) if player == 1 else min(results)
    return cache[key]


minimax([0] * 9, 1)
boards, values = [], []
for (b, player), v in cache.items():
    boards.append([float(c == 1) for c in b] + [float(c == -1) for c in b] + [float(player)])
    values.append([float(v)])
boards, values = torch.tensor(boards), torch.tensor(values)
order = torch.randperm(len(boards))
boards, values = boards[order], values[order]
cut = int(0.8 * len(boards))
print(len(boards), "positions")

value_net = torch.nn.Sequential(
    torch.nn.Linear(19, 96),
    torch.nn.ReLU(),
    torch.nn.Linear(96, 96),
    torch.nn.ReLU(),
    torch.nn.Linear(96, 1),
    torch.nn.Sigmoid(),
)
mse = torch.nn.MSELoss()
optimizer = torch.optim.Adam(value_net.parameters(), lr=2e-3)

for epoch in range(24):
    shuffled = torch.randperm(cut)
    total = 0.0
    for start in range(0, cut, 64):
        pick = shuffled[start:start + 64]
        prediction = value_net(boards[pick])
        loss = mse(prediction, values[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(pick)
    print("epoch", epoch, "loss", round(total / cut, 4))

with torch.no_grad():
    guess = value_net(boards[cut:])
    truth = values[cut:]
    r2 = 1 - ((guess - truth) ** 2).mean() / truth.var()
print("metric: r2", round(r2.item(), 4))
