import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
d = load_digits()
x, y = torch.tensor(d.data / 8 - 1, dtype=torch.float32), torch.tensor(d.target)
o = torch.randperm(len(y), generator=torch.Generator().manual_seed(14))
x, y = x[o], y[o]
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
opt = torch.optim.Adam(model.parameters(), lr=1e-3)


def attack(inputs, labels, eps=0.1):
    inputs = inputs.clone().requires_grad_(True)
    grad, = torch.autograd.grad(F.cross_entropy(model(inputs), labels), inputs)
    return (inputs + eps * grad.sign()).detach()


for epoch in range(15):
    for i in torch.randperm(1400).split(40):
        hard = attack(x[i], y[i])
        loss = 0.5 * F.cross_entropy(model(x[i]), y[i]) + 0.5 * F.cross_entropy(model(hard), y[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "loss %.4f" % loss.item())
model.eval()
hard = attack(x[1400:], y[1400:])
with torch.no_grad():
    plain = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    robust = (model(hard).argmax(1) == y[1400:]).float().mean().item()
print("clean accuracy %.4f" % plain)
print("metric: robust_accuracy %.4f" % robust)
