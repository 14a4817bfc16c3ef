import os
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(4)
payoff = torch.randn(5, 8) * 0.8
torch.manual_seed(seed)


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, user):
        return torch.log_softmax(self.body(user), dim=-1)


def world(user, choice):
    return torch.sigmoid((user @ payoff.T).gather(1, choice).squeeze(1) + 0.2 * torch.randn(len(user)))


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=4e-3)
baseline = 0.5
for it in range(600):
    user = torch.randn(100, 8)
    log_p = policy(user)
    choice = torch.multinomial(log_p.exp(), 1)
    reward = world(user, choice)
    objective = log_p.gather(1, choice).squeeze(1) * (reward - baseline)
    loss = objective.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    baseline = 0.95 * baseline + 0.05 * reward.mean().item()
    if it % 100 == 0:
        print("iteration", it, "reward", round(reward.mean().item(), 3))
with torch.no_grad():
    user = torch.randn(3000, 8)
    reward = torch.sigmoid(user @ payoff.T)
    got = reward.gather(1, policy(user).argmax(1, keepdim=True)).mean()
    best, chance = reward.max(1).values.mean(), reward.mean()
print("metric: skill %.4f" % ((got - chance) / (best - chance)).item())
