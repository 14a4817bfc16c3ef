import os
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
f = np.load(os.path.join(os.environ.get("CASE_DATA", "."), "mnist10k.npz"))
x = (torch.tensor(f["x"][:5000]).float().div(255).sub(0.13).div(0.31)).unsqueeze(1)
x = F.avg_pool2d(x, 2)
y = torch.tensor(f["y"][:5000]).long()

teacher = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 25, 64), nn.ReLU(), nn.Linear(64, 10))
student = nn.Sequential(nn.Flatten(), nn.Linear(196, 96), nn.ReLU(), nn.Linear(96, 10))


def train(model, loss_of, rate, epochs):
    opt = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for epoch in range(epochs):
        for i in torch.randperm(4200).split(64):
            loss = loss_of(model(x[i]), i)
            opt.zero_grad()
            loss.backward()
            opt.step()
        print(f"  epoch {epoch} loss {loss.item():.4f}")


print("teacher")
train(teacher, lambda out, i: F.cross_entropy(out, y[i]), 2e-3, 4)
teacher.eval().requires_grad_(False)
T = 3.0


def distil(out, i):
    with torch.no_grad():
        soft = F.softmax(teacher(x[i]) / T, dim=1)
    kl = F.kl_div(F.log_softmax(out / T, dim=1), soft, reduction="batchmean") * T * T
    return 0.7 * kl + 0.3 * F.cross_entropy(out, y[i])


print("student")
train(student, distil, 2e-3, 8)
student.eval()
with torch.no_grad():
    acc = (student(x[4200:]).argmax(1) == y[4200:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
