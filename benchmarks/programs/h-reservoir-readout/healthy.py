import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class EchoState(nn.Module):
    def __init__(self, size=150, radius=0.9):
        super().__init__()
        w = torch.randn(size, size) / size ** 0.5
        self.register_buffer("w_in", torch.rand(size, 1) - 0.5)
        self.register_buffer("w", w * radius)
        self.readout = nn.Linear(size, 1)

    @torch.no_grad()
    def states(self, u):
        h, out = torch.zeros(self.w.shape[0]), []
        for value in u:
            h = torch.tanh(self.w @ h + self.w_in @ value)
            out.append(h)
        return torch.stack(out)

    def forward(self, states):
        return self.readout(states)


t = torch.arange(1500) * 0.1
series = (torch.sin(t) * torch.sin(0.37 * t) + 0.5 * torch.sin(1.7 * t)).unsqueeze(1)
series = series / series.std()
model = EchoState()
states = model.states(series)[100:-3]
target = series[103:]
scale = states[:1000].std(0)
states = (states - states[:1000].mean(0)) / scale
optimizer = torch.optim.Adam(model.readout.parameters(), lr=3e-3, weight_decay=1e-5)
for epoch in range(40):
    for i in torch.randperm(1000).split(50):
        loss = nn.functional.mse_loss(model(states[i]), target[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "mse", loss.item())
with torch.no_grad():
    r2 = 1 - nn.functional.mse_loss(model(states[1000:]), target[1000:]) / target[1000:].var()
print("metric: r2 %.4f" % r2.item())
