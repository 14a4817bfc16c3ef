import argparse
import logging
import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

logger = logging.getLogger(__name__)


class ConvBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Classifier(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.stem = ConvBlock(1, 16)
        self.stage1 = ConvBlock(16, 24)
        self.stage2 = ConvBlock(24, 32)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(32, n_classes)

    def forward(self, x):
        x = F.max_pool2d(self.stage1(self.stem(x)), 2)
        x = self.stage2(x).mean((2, 3))
        return self.fc(self.drop(x))


def load(name):
    path = os.path.join(os.environ.get("CASE_DATA", ""), "mnist10k.npz")
    if name == "mnist" and os.path.exists(path):
        f = np.load(path)
        x, y = f["x"][:3000, ::2, ::2] / 255.0, f["y"][:3000]
    else:
        x, y = load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8) / 16.0
    x = torch.tensor(x, dtype=torch.float32).unsqueeze(1)
    return (x - x.mean()) / x.std(), torch.tensor(y.astype("int64"))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--dataset", default="mnist")
    p.add_argument("--epochs", type=int, default=6)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--max-lr", type=float, default=0.02)
    p.add_argument("--seed", type=int, default=int(os.environ.get("CASE_SEED", 0)))
    args = p.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.manual_seed(args.seed)

    x, y = load(args.dataset)
    cut = len(x) * 4 // 5
    train = DataLoader(TensorDataset(x[:cut], y[:cut]), args.batch_size, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(x[cut:], y[cut:]), 200)
    net = Classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.max_lr, epochs=args.epochs, steps_per_epoch=len(train))
    for epoch in range(args.epochs):
        net.train()
        for xb, yb in train:
            loss = F.cross_entropy(net(xb), yb)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            scheduler.step()
        net.eval()
        with torch.inference_mode():
            correct = sum((net(xb).argmax(1) == yb).sum().item() for xb, yb in val)
        logger.info("epoch %d: loss %.4f val acc %.4f lr %.5f", epoch, loss.item(), correct / (len(x) - cut), scheduler.get_last_lr()[0])
    print("metric: accuracy %.4f" % (correct / (len(x) - cut)))


if __name__ == "__main__":
    main()
