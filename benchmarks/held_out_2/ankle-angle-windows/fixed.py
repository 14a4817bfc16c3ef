import argparse
import logging
import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("gait")


def simulate_walk(n_seconds, rng, hz=50):
    """Three IMU channels (standardized) and the joint angle in degrees."""
    t = np.arange(n_seconds * hz) / hz
    cadence = 1.0 + 0.25 * np.sin(0.11 * t + rng.random() * 6)
    phase = 2 * np.pi * np.cumsum(cadence) / hz
    angle = 18 * np.sin(phase) + 9 * np.sin(2 * phase + 0.6) + 4
    gyro = np.gradient(angle) * 0.5 + rng.normal(0, 0.15, len(t))
    acc = np.cos(phase + 0.4) + 0.4 * np.sin(3 * phase) + rng.normal(0, 0.15, len(t))
    mag = np.sin(phase) + rng.normal(0, 0.3, len(t))
    imu = np.stack([gyro, acc, mag])
    imu = (imu - imu.mean(1, keepdims=True)) / imu.std(1, keepdims=True)
    return imu.astype("float32"), angle.astype("float32")


class Windows(Dataset):
    def __init__(self, imu, angle, length, stride, mean=0.0, std=1.0):
        self.imu, self.length = torch.from_numpy(imu), length
        self.angle = torch.from_numpy((angle - mean) / std)
        self.starts = list(range(0, imu.shape[1] - length, stride))

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        s = self.starts[i]
        return self.imu[:, s:s + self.length], self.angle[s + self.length - 1]


class AngleNet(nn.Module):
    def __init__(self, channels=3, width=24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(channels, width, 7, stride=2, padding=3), nn.ReLU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2), nn.ReLU(),
        )
        self.out = nn.Linear(width * 10, 1)

    def forward(self, x):
        h = self.features(x).flatten(1)
        return self.out(h).squeeze(1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=int(os.environ.get("CASE_SEED", 0)))
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--batch-size", type=int, default=64)
    args = ap.parse_args([])
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    imu, angle = simulate_walk(120, rng)
    imu_v, angle_v = simulate_walk(40, rng)
    mean, std = float(angle.mean()), float(angle.std())
    train = DataLoader(Windows(imu, angle, 40, 4, mean, std), batch_size=args.batch_size, shuffle=True)
    valid = DataLoader(Windows(imu_v, angle_v, 40, 4, mean, std), batch_size=256)

    model = AngleNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    loss_fn = nn.MSELoss()
    for epoch in range(args.epochs):
        model.train()
        running = []
        for x, y in train:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            running.append(loss.item())
        model.eval()
        se, var, n = 0.0, 0.0, 0
        with torch.no_grad():
            for x, y in valid:
                se += ((model(x) - y) ** 2).sum().item()
                var += (y ** 2).sum().item()
                n += len(y)
        log.info("epoch %d  train %.4f  valid %.4f", epoch + 1, np.mean(running), se / n)
    target = valid.dataset.angle
    r2 = 1 - (se / n) / target.var().item()
    print("metric: r2 %.4f" % r2)


if __name__ == "__main__":
    main()
