import os
import torch
from torch import nn
from torch.distributions import Categorical

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class Stops:
    """A vending van chooses one of five stops; weather and hour decide which is good."""

    def __init__(self):
        g = torch.Generator().manual_seed(11)
        self.taste = torch.randn(6, 5, generator=g)

    def observe(self, n):
        return torch.randn(n, 6)

    def sales(self, obs, stop):
        mean = obs @ self.taste
        return mean.gather(1, stop.view(-1, 1)) + 0.5 * torch.randn(len(obs), 1)


env = Stops()
policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 5))
baseline = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))
opt_policy = torch.optim.Adam(policy.parameters(), lr=5e-3)
opt_baseline = torch.optim.Adam(baseline.parameters(), lr=1e-2)

for update in range(1, 501):
    obs = env.observe(64)
    dist = Categorical(logits=policy(obs))
    action = dist.sample()
    reward = env.sales(obs, action)

    value = baseline(obs)
    value_loss = nn.functional.mse_loss(value, reward)
    opt_baseline.zero_grad()
    value_loss.backward()
    opt_baseline.step()

    advantage = (reward - value.detach()).squeeze(1)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy_loss = -(dist.log_prob(action) * advantage).mean()
    opt_policy.zero_grad()
    policy_loss.backward()
    opt_policy.step()
    if update % 100 == 0:
        print(f"update {update} mean sales {reward.mean().item():.3f} value loss {value_loss.item():.3f}")

with torch.no_grad():
    obs = env.observe(4000)
    expected = obs @ env.taste
    got = expected.gather(1, policy(obs).argmax(1, keepdim=True)).mean()
    best = expected.max(1).values.mean()
print("metric: share_of_best", round((got / best).item(), 4))
