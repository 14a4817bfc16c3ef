import os
import random
from collections import deque
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
random.seed(seed)
torch.manual_seed(seed)
LENGTH, GAMMA = 8, 0.9


def observe(s):
    v = torch.zeros(LENGTH)
    v[s] = 1.0
    return v


def act_in_world(s, a):
    s2 = max(0, s - 1) if a == 0 else s + 1
    done = s2 == LENGTH - 1
    return s2, (1.0 if done else -0.02), done


def make_net():
    return nn.Sequential(nn.Linear(LENGTH, 32), nn.ReLU(), nn.Linear(32, 2))


q, target = make_net(), make_net()
target.load_state_dict(q.state_dict())
opt = torch.optim.Adam(q.parameters(), lr=3e-3)
memory = deque(maxlen=2000)
s, age = 0, 0
for step in range(1800):
    eps = max(0.1, 1 - step / 900)
    if random.random() < eps:
        a = random.randrange(2)
    else:
        with torch.no_grad():
            a = int(q(observe(s)).argmax())
    s2, r, done = act_in_world(s, a)
    memory.append((s, a, r, s2, done))
    s, age = s2, age + 1
    if done or age > 60:
        s, age = random.randrange(LENGTH - 1), 0
    if len(memory) >= 64:
        batch = random.sample(memory, 32)
        S = torch.stack([observe(b[0]) for b in batch])
        A = torch.tensor([b[1] for b in batch])
        R = torch.tensor([b[2] for b in batch])
        S2 = torch.stack([observe(b[3]) for b in batch])
        D = torch.tensor([float(b[4]) for b in batch])
        with torch.no_grad():
            goal = R + GAMMA * (1 - D) * target(S2).max(1).values
        value = q(S).gather(1, A[:, None]).squeeze(1)
        loss = nn.functional.smooth_l1_loss(value, goal)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(q.parameters(), 10.0)
        opt.step()
    if step % 50 == 0:
        target.load_state_dict(q.state_dict())
    if step % 300 == 0:
        print("step", step, "epsilon %.2f" % eps)
with torch.no_grad():
    right = sum(int(q(observe(i)).argmax()) == 1 for i in range(LENGTH - 1)) / (LENGTH - 1)
print("metric: optimal_actions %.4f" % right)
