import os
import torch
from torch import nn
from torch.distributions import Categorical

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(99)
truth = torch.randn(6, 4)
torch.manual_seed(seed)


def pull(context, action):
    return (context @ truth).gather(1, action[:, None]).squeeze(1) + 0.3 * torch.randn(len(action))


policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))
critic = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.Adam([*policy.parameters(), *critic.parameters()], lr=5e-3)
for step in range(600):
    context = torch.randn(64, 6)
    dist = Categorical(logits=policy(context))
    action = dist.sample()
    reward = pull(context, action)
    value = critic(context).squeeze(1)
    advantage = (reward - value).detach()
    loss = -(dist.log_prob(action) * advantage).mean() + 0.5 * nn.functional.mse_loss(value, reward) - 0.01 * dist.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step} mean reward {reward.mean().item():.3f}")
with torch.no_grad():
    context = torch.randn(2000, 6)
    means = context @ truth
    got = means.gather(1, policy(context).argmax(1, keepdim=True)).mean()
    share = got / means.max(1).values.mean()
print("metric: reward_share %.4f" % share.item())
