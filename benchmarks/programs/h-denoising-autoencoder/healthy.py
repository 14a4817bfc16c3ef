import os
import torch
from torch import nn
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
clean = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 8 - 1
clean = clean[torch.randperm(len(clean), generator=torch.Generator().manual_seed(0))]
train, test = clean[:1400], clean[1400:]


def corrupt(x, g=None):
    return x + 0.6 * torch.randn(x.shape, generator=g)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Conv2d(1, 24, 3, padding=1)
        self.mid = nn.Conv2d(24, 24, 3, padding=1)
        self.out = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, x):
        h = torch.relu(self.inp(x))
        h = h + torch.relu(self.mid(h))
        return x - self.out(h)


model = Denoiser()
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(12):
    for batch in train[torch.randperm(1400)].split(50):
        loss = nn.functional.mse_loss(model(corrupt(batch)), batch)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
    if epoch % 3 == 0:
        print("epoch", epoch, "mse", round(loss.item(), 4))
model.eval()
with torch.inference_mode():
    noisy = corrupt(test, torch.Generator().manual_seed(1))
    ratio = nn.functional.mse_loss(model(noisy), test) / nn.functional.mse_loss(noisy, test)
print("metric: mse_rel %.4f" % ratio.item())
