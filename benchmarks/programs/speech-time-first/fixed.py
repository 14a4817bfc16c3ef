import os
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
g = torch.Generator().manual_seed(8)
N, T = 1500, 16
signal = torch.randn(N, T, 3, generator=g) * 0.5
trend = torch.randint(0, 3, (N,), generator=g)
ramp = torch.linspace(-1, 1, T)
shape = torch.stack([ramp, -ramp, 1 - 2 * ramp.abs()])
signal[:, :, 0] += shape[trend]


class Recognizer(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(input_size=3, hidden_size=hidden, num_layers=1, batch_first=True)
        self.fc = nn.Linear(hidden, 3)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])


model = Recognizer()
opt = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(10):
    model.train()
    for idx in torch.randperm(1200).split(40):
        opt.zero_grad()
        loss = loss_fn(model(signal[idx]), trend[idx])
        loss.backward()
        opt.step()
    print("epoch", epoch, "loss %.4f" % loss.item())
model.eval()
with torch.no_grad():
    hits = sum((model(a).argmax(1) == b).sum().item() for a, b in zip(signal[1200:].split(40), trend[1200:].split(40)))
print("metric: accuracy %.4f" % (hits / 300))
