import os
import math
import torch

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
DT, STEPS = 0.05, 60
true_k, true_c = 3.1, 0.25


def simulate(angle, speed, k, c):
    path = []
    for _ in range(STEPS):
        speed = speed + DT * (-k * torch.sin(angle) - c * speed)
        angle = angle + DT * speed
        path.append(angle)
    return torch.stack(path)


start = torch.linspace(-1.5, 1.5, 16)
observed = simulate(start, torch.zeros(16), true_k, true_c) + 0.02 * torch.randn(STEPS, 16)

log_k = torch.tensor(math.log(1.0), requires_grad=True)
log_c = torch.tensor(math.log(1.0), requires_grad=True)
opt = torch.optim.Adam([log_k, log_c], lr=0.05)
for it in range(120):
    opt.zero_grad()
    loss = ((simulate(start, torch.zeros(16), log_k.exp(), log_c.exp()) - observed) ** 2).mean()
    loss.backward()
    opt.step()
    if it % 20 == 0:
        print(f"it {it} loss {loss.item():.6f} k {log_k.exp().item():.3f} c {log_c.exp().item():.3f}")
error = max(abs(log_k.exp().item() / true_k - 1), abs(log_c.exp().item() / true_c - 1))
print(f"metric: relative_error {error:.4f}")
