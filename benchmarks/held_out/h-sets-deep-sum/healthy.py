import os
import torch
import torch.nn as nn

gen = torch.Generator().manual_seed(3)
N, MAXLEN = 2400, 12
length = torch.randint(3, MAXLEN + 1, (N,), generator=gen)
mask = (torch.arange(MAXLEN)[None] < length[:, None]).float()
items = torch.randn(N, MAXLEN, 3, generator=gen)
value = (torch.tanh(2 * items[..., 0]) * items[..., 1] + items[..., 2] ** 2) * mask
target = value.sum(1) / length + 0.5 * (items[..., 0] * mask).amax(1)
target = (target - target.mean()) / target.std()

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class DeepSet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.rho = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, items, mask):
        h = self.phi(items)
        mean = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        top = h.masked_fill(mask[..., None] == 0, float("-inf")).amax(1)
        return self.rho(torch.cat([mean, top], 1)).squeeze(1)


model = DeepSet()
optimizer = torch.optim.NAdam(model.parameters(), lr=3e-3)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=3)
for epoch in range(28):
    model.train()
    for rows in torch.randperm(2000).split(50):
        loss = nn.functional.mse_loss(model(items[rows], mask[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val = nn.functional.mse_loss(model(items[2000:], mask[2000:]), target[2000:]).item()
    plateau.step(val)
    if epoch % 4 == 3:
        print(f"{epoch + 1:3d} train {loss.item():.4f} val {val:.4f} lr {optimizer.param_groups[0]['lr']:.5f}")
print("metric: r2 %.4f" % (1 - val / target[2000:].var().item()))
