import os
import torch

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

# a camera image of a laser spot, with read-out noise; units: pixels and counts
yy, xx = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
true = dict(x=torch.empty(1).uniform_(9, 14), y=torch.empty(1).uniform_(9, 14), wx=torch.tensor([2.5]), wy=torch.tensor([4.0]),
            tilt=torch.tensor([0.5]), height=torch.tensor([1.0]), floor=torch.tensor([0.2]))


def spot(p):
    c, s = torch.cos(p["tilt"]), torch.sin(p["tilt"])
    dx, dy = xx - p["x"], yy - p["y"]
    a, b = (c * dx + s * dy) / p["wx"], (-s * dx + c * dy) / p["wy"]
    return p["floor"] + p["height"] * torch.exp(-0.5 * (a ** 2 + b ** 2))


image = spot(true) + 0.03 * torch.randn(24, 24)
guess = {k: torch.tensor([v], requires_grad=True) for k, v in
         dict(x=11.5, y=11.5, wx=3.0, wy=3.5, tilt=0.2, height=0.8, floor=0.1).items()}
opt = torch.optim.Adam(guess.values(), lr=0.05)
for step in range(400):
    opt.zero_grad()
    chi2 = ((spot(guess) - image) / 0.03).square().mean()
    chi2.backward()
    opt.step()
    if step % 80 == 0:
        print("step", step, "chi2 per pixel %.3f" % chi2.item())

print({k: round(v.item(), 3) for k, v in guess.items()})
with torch.no_grad():
    off = torch.hypot(guess["x"] - true["x"], guess["y"] - true["y"]).item()
    r2 = 1 - (spot(guess) - spot(true)).square().mean() / spot(true).var()
print("metric: r2", round(r2.item(), 4))
