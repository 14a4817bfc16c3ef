import os
import torch
import torch.nn as nn
from torch.distributions import Categorical

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

SIZE, HORIZON, ENVS = 5, 14, 32
GOAL = torch.tensor([4, 4])
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


def observe(pos):
    return torch.cat([torch.eye(SIZE)[pos[:, 0]], torch.eye(SIZE)[pos[:, 1]]], 1)


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * SIZE, 32), nn.Tanh())
        self.pi = nn.Linear(32, 4)
        self.value = nn.Linear(32, 1)

    def forward(self, obs):
        h = self.body(obs)
        return Categorical(logits=self.pi(h)), self.value(h).squeeze(1)


def rollout(policy):
    pos = torch.randint(0, SIZE, (ENVS, 2))
    done = (pos == GOAL).all(1)
    logps, values, rewards, alive, entropy = [], [], [], [], []
    for _ in range(HORIZON):
        dist, value = policy(observe(pos))
        action = dist.sample()
        alive.append(~done)
        logps.append(dist.log_prob(action))
        values.append(value)
        entropy.append(dist.entropy())
        pos = torch.where(done[:, None], pos, (pos + MOVES[action]).clamp(0, SIZE - 1))
        arrived = (pos == GOAL).all(1) & ~done
        rewards.append(arrived.float() - 0.05 * (~done).float())
        done = done | arrived
    return [torch.stack(t) for t in (logps, values, rewards, alive, entropy)] + [done]


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=6e-3)
for update in range(180):
    logps, values, rewards, alive, entropy, done = rollout(policy)
    returns, running = torch.zeros_like(rewards), torch.zeros(ENVS)
    for t in reversed(range(HORIZON)):
        running = rewards[t] + 0.98 * running
        returns[t] = running
    mask = alive.float()
    advantage = (returns - values).detach()
    policy_loss = -(logps * advantage * mask).sum() / mask.sum()
    value_loss = ((returns - values) ** 2 * mask).sum() / mask.sum()
    loss = policy_loss + 0.5 * value_loss - 0.01 * (entropy * mask).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
    optimizer.step()
    if update % 30 == 0:
        print("update", update, "return %.3f" % rewards.sum(0).mean().item(), "arrived %.2f" % done.float().mean().item())

with torch.no_grad():
    score = torch.stack([rollout(policy)[2].sum(0).mean() for _ in range(10)]).mean()
print("metric: mean_return %.4f" % score)
