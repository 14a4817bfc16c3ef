import argparse
import copy
import os

import numpy as np
import torch
import torch.nn as nn


class CausalBlock(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.pad = nn.ConstantPad1d((2 * dilation, 0), 0.0)
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(width, 2 * width, 3, dilation=dilation))
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x):
        value, gate = self.conv(self.pad(x)).chunk(2, dim=1)
        return x + self.mix(torch.tanh(value) * torch.sigmoid(gate))


class Forecaster(nn.Module):
    def __init__(self, width=16, depth=4):
        super().__init__()
        self.lift = nn.Conv1d(1, width, 1)
        self.blocks = nn.Sequential(*[CausalBlock(width, 2 ** k) for k in range(depth)])
        self.read = nn.Conv1d(width, 1, 1)

    def forward(self, series):
        return self.read(torch.relu(self.blocks(self.lift(series.unsqueeze(1))))).squeeze(1)


def tides(n, rng):
    t = np.arange(n)
    level = np.sin(2 * np.pi * t / 12.4) + 0.5 * np.sin(2 * np.pi * t / 23.9 + 1) + 0.25 * np.sin(2 * np.pi * t / 6.2)
    surge = np.zeros(n)
    for i in range(1, n):
        surge[i] = 0.9 * surge[i - 1] + 0.06 * rng.standard_normal()
    return torch.tensor((level + surge) / 0.85, dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser(description="one step ahead forecasts of the water level")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--decay", type=float, default=0.97)
    args = parser.parse_args()
    seed = int(os.environ.get("CASE_SEED", 0))
    torch.manual_seed(seed)
    series = tides(4000, np.random.default_rng(seed))
    train, test = series[:3200], series[3200:]

    model = Forecaster()
    smooth = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20)
    for step in range(1, args.steps + 1):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(args.accumulate):
            at = torch.randint(0, len(train) - 65, (16,))
            chunk = torch.stack([train[a:a + 65] for a in at])
            loss = nn.functional.mse_loss(model(chunk[:, :-1])[:, 30:], chunk[:, 31:]) / args.accumulate
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warmup.step()
        with torch.no_grad():
            for slow, fast in zip(smooth.parameters(), model.parameters()):
                slow.lerp_(fast, 1 - args.decay)
        if step % 40 == 0:
            print(f"step {step} mse {total:.4f}")

    with torch.no_grad():
        forecast = smooth(test[None, :-1])[0, 60:]
        actual = test[61:]
        r2 = 1 - ((forecast - actual) ** 2).mean() / actual.var()
    print("metric: r2", round(r2.item(), 4))


if __name__ == "__main__":
    main()
