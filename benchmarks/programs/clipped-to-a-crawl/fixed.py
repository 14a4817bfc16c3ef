import os
import numpy as np
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
archive = np.load(os.path.join(os.environ.get("CASE_DATA", "."), "mnist10k.npz"))
x = (torch.from_numpy(archive["x"][:3000]).float() / 255 - 0.13) / 0.31
y = torch.from_numpy(archive["y"][:3000]).long()
x_test, y_test = x[2400:], y[2400:]


class RowReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze = nn.AvgPool2d(2)
        self.rnn = nn.GRU(14, 48, batch_first=True)
        self.fc = nn.Linear(48, 10)

    def forward(self, x):
        states, _ = self.rnn(self.squeeze(x))
        return self.fc(states[:, -1])


model = RowReader()
opt = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
for epoch in range(7):
    losses = []
    for idx in torch.randperm(2400).split(40):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x[idx]), y[idx])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        opt.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: {np.mean(losses):.4f}")
model.eval()
with torch.no_grad():
    acc = (model(x_test).argmax(1) == y_test).float().mean().item()
print(f"metric: accuracy {acc:.4f}")
