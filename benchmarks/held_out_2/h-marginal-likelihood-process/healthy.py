import math
import os
import torch

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
torch.set_default_dtype(torch.float64)

# noisy measurements of a smooth curve
def truth(x):
    return torch.sin(3 * x) * torch.exp(-0.15 * x) + 0.3 * x

x = torch.sort(torch.rand(90) * 6)[0]
y = truth(x) + 0.15 * torch.randn(90)
grid = torch.linspace(0.1, 5.9, 120)

log_length = torch.zeros((), requires_grad=True)
log_amplitude = torch.zeros((), requires_grad=True)
log_noise = torch.tensor(-1.0, requires_grad=True)


def kernel(a, b):
    d = (a[:, None] - b[None, :]) / log_length.exp()
    return (2 * log_amplitude).exp() * torch.exp(-0.5 * d ** 2)


def cholesky():
    return torch.linalg.cholesky(kernel(x, x) + ((2 * log_noise).exp() + 1e-8) * torch.eye(len(x)))


def negative_log_evidence():
    L = cholesky()
    a = torch.cholesky_solve(y[:, None], L)
    return 0.5 * (y @ a[:, 0]) + L.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)


opt = torch.optim.Adam([log_length, log_amplitude, log_noise], lr=0.05)
for it in range(150):
    opt.zero_grad()
    nle = negative_log_evidence()
    nle.backward()
    opt.step()
    if it % 25 == 0:
        print(f"{it:4d}  -log p(y) {nle.item():9.3f}  length {log_length.exp().item():.3f}  noise {log_noise.exp().item():.3f}")

with torch.no_grad():
    mean = kernel(grid, x) @ torch.cholesky_solve(y[:, None], cholesky())[:, 0]
    f = truth(grid)
    r2 = 1 - ((mean - f) ** 2).mean() / f.var()
print("metric: r2", round(r2.item(), 4))
