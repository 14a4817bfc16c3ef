# Imitating a careful player of blitz noughts and crosses (stones may be dealt unevenly); taken squares are masked out
import os
import random
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)
ROWS = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
HABIT = [4, 0, 2, 6, 8, 1, 3, 5, 7]


def careful_move(board):
    for side in (1, 2):                      # win, else block
        for row in ROWS:
            stones = [board[i] for i in row]
            if stones.count(side) == 2 and stones.count(0) == 1:
                return row[stones.index(0)]
    return next(i for i in HABIT if board[i] == 0)


boards = {tuple(random.choices((0, 1, 2), weights=(3, 2, 2), k=9)) for _ in range(9000)}
boards = sorted(b for b in boards if 0 in b)
states = torch.tensor(boards)
moves = torch.tensor([careful_move(b) for b in boards])
data = TensorDataset(states, moves)
n_test = len(data) // 6
train_set, test_set = random_split(data, [len(data) - n_test, n_test])


class Policy(nn.Module):
    def __init__(self, d=128):
        super().__init__()
        self.fc1 = nn.Linear(27, d)
        self.fc2 = nn.Linear(d, d)
        self.head = nn.Linear(d, 9)

    def forward(self, s):
        z = F.one_hot(s, 3).float().flatten(1)
        z = F.relu(self.fc1(z))
        z = F.relu(self.fc2(z))
        return self.head(z).masked_fill(s != 0, float("-inf"))


policy = Policy()
optimizer = torch.optim.AdamW(policy.parameters(), lr=4e-3, weight_decay=0.05)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
for epoch in range(15):
    policy.train()
    seen = total = 0
    for s, m in DataLoader(train_set, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(policy(s), m)
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
        optimizer.step()
        total += loss.item() * len(s)
        seen += len(s)
    scheduler.step()
    if epoch % 3 == 2:
        print(f"epoch {epoch + 1} loss {total / seen:.4f} lr {scheduler.get_last_lr()[0]:.5f}")

policy.eval()
right = 0
with torch.no_grad():
    for s, m in DataLoader(test_set, batch_size=256):
        right += (policy(s).argmax(1) == m).sum().item()
print(f"metric: accuracy {right / n_test:.4f}")
