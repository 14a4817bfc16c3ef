import argparse
import os

import numpy as np
import torch
import torch.nn as nn


def make_windows(n, steps, rng):
    """(n, steps, 6): three axes of acceleration, three of rotation, as the logger stores them."""
    t = np.arange(steps) / 25.0
    kind = rng.integers(0, 5, n)
    out = rng.normal(0, 0.6, (n, steps, 6))
    for i, k in enumerate(kind):
        f, phase = (1.6 + 0.15 * rng.standard_normal()), rng.random() * 6.28
        wave = np.sin(2 * np.pi * f * t + phase)
        late = np.sin(2 * np.pi * f * t + phase - 1.57)
        if k == 0:
            out[i, :, 0] += wave; out[i, :, 2] += late
        elif k == 1:
            out[i, :, 2] += wave; out[i, :, 0] += late
        elif k == 2:
            out[i, :, 1] += wave; out[i, :, 4] += late
        elif k == 3:
            out[i, :, 4] += wave; out[i, :, 1] += late
        else:
            out[i, :, 3] += wave; out[i, :, 5] -= wave
    return out.astype("float32"), kind


def build(channels, classes):
    return nn.Sequential(
        nn.Conv1d(channels, 24, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(24, 32, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool1d(1),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, classes))


def main(args):
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    windows, kind = make_windows(1200, args.steps, rng)
    x = torch.from_numpy(windows)
    x = (x - x[:900].mean((0, 1))) / x[:900].std((0, 1))
    x = x.permute(0, 2, 1)
    y = torch.from_numpy(kind)

    model = build(6, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for b in torch.randperm(900).split(args.batch):
            optimizer.zero_grad()
            loss = criterion(model(x[b]), y[b])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(b)
        model.eval()
        with torch.no_grad():
            acc = (model(x[900:]).argmax(1) == y[900:]).float().mean().item()
        if epoch % 3 == 2:
            print("epoch %2d | loss %.4f | test acc %.4f" % (epoch + 1, total / 900, acc))
    print("metric: accuracy %.4f" % acc)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CASE_SEED", 0)))
    main(parser.parse_args())
