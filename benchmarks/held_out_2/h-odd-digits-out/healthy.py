import os

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)
np.random.seed(seed)

digits = load_digits()
x = torch.tensor(digits.data / 16.0, dtype=torch.float32)
y = digits.target
normal = np.isin(y, (0, 3, 6, 8))
idx = np.random.permutation(np.flatnonzero(normal))
train, calm = idx[:500], idx[500:]
odd = np.flatnonzero(np.isin(y, (1, 4, 7)))


class Coder(nn.Module):
    def __init__(self, n_in=64, code=10):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(n_in, 48), nn.ELU(), nn.Linear(48, code))
        self.dec = nn.Sequential(nn.Linear(code, 48), nn.ELU(), nn.Linear(48, n_in), nn.Sigmoid())

    def forward(self, v):
        return self.dec(self.enc(v))


def strangeness(model, v):
    model.eval()
    with torch.inference_mode():
        return (model(v) - v).square().mean(1)


model = Coder()
opt = torch.optim.NAdam(model.parameters(), lr=2e-3)
best, patience = float("inf"), 0
for epoch in range(80):
    model.train()
    for part in np.array_split(np.random.permutation(train), 16):
        noisy = x[part] + 0.05 * torch.randn(len(part), 64)
        loss = nn.functional.mse_loss(model(noisy), x[part])
        loss.backward()
        opt.step()
        opt.zero_grad()
    check = strangeness(model, x[calm[:100]]).mean().item()
    if check < best - 1e-5:
        best, patience = check, 0
        kept = {k: v.clone() for k, v in model.state_dict().items()}
    else:
        patience += 1
        if patience == 8:
            print("stop at", epoch)
            break
    if epoch % 10 == 0:
        print(epoch, "reconstruction", round(check, 5))
model.load_state_dict(kept)

score = torch.cat([strangeness(model, x[calm[100:]]), strangeness(model, x[odd])]).numpy()
label = np.r_[np.zeros(len(calm) - 100), np.ones(len(odd))]
print("metric: auc", round(roc_auc_score(label, score), 4))
