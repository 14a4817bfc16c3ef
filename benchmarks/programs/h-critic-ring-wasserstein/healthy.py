import os
import math
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def sample_real(n):
    k = torch.randint(0, 6, (n,)) * (2 * math.pi / 6)
    return torch.stack([k.cos(), k.sin()], 1) * 1.4 + 0.08 * torch.randn(n, 2)


def gradient_penalty(critic, real, fake):
    mix = torch.rand(len(real), 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    grad, = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((grad.norm(2, dim=1) - 1) ** 2).mean()


gen = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
critic = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
opt_g = torch.optim.Adam(gen.parameters(), lr=1e-3, betas=(0.0, 0.9))
opt_c = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
for step in range(700):
    for _ in range(2):
        real = sample_real(128)
        fake = gen(torch.randn(128, 8)).detach()
        c_loss = critic(fake).mean() - critic(real).mean() + 1.0 * gradient_penalty(critic, real, fake)
        opt_c.zero_grad()
        c_loss.backward()
        opt_c.step()
    g_loss = -critic(gen(torch.randn(128, 8))).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    if step % 50 == 0:
        print("step %d critic %.3f" % (step, c_loss.item()))
with torch.no_grad():
    a, b = gen(torch.randn(1000, 8)), sample_real(1000)
    d = 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()
print("metric: energy_distance %.4f" % d.item())
