import os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import Dataset, DataLoader

np.random.seed(17)


def synth(n, size=24):
    yy, xx = np.mgrid[:size, :size]
    images = np.random.normal(90, 25, (n, size, size))
    masks = np.zeros((n, size, size), dtype=np.uint8)
    for k in range(n):
        for _ in range(np.random.randint(1, 4)):
            cy, cx = np.random.randint(4, size - 4, 2)
            r = np.random.uniform(2.5, 4.5)
            blob = (yy - cy) ** 2 + (xx - cx) ** 2 < r * r
            masks[k][blob] = 255
            images[k][blob] += 55
    return np.clip(images, 0, 255).astype(np.uint8), masks


class CellDataset(Dataset):
    def __init__(self, images, masks):
        self.images, self.masks = images, masks

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.from_numpy(self.images[i]).float().unsqueeze(0) / 255.0
        mask = torch.from_numpy(self.masks[i]).float().unsqueeze(0) / 255.0
        return (image - 0.4) / 0.15, mask


images, masks = synth(320)
train_loader = DataLoader(CellDataset(images[:256], masks[:256]), batch_size=16, shuffle=True,
                          generator=torch.Generator().manual_seed(int(os.environ.get("CASE_SEED", 0))))
val_loader = DataLoader(CellDataset(images[256:], masks[256:]), batch_size=32)

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


def double_conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                         nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class SmallSeg(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = double_conv(1, 8)
        self.mid = double_conv(8, 16)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(24, 1, 1)

    def forward(self, x):
        a = self.enc(x)
        b = self.up(self.mid(self.pool(a)))
        return self.last(torch.cat([a, b], 1))


model = SmallSeg()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(8):
    model.train()
    for image, mask in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(image), mask)
        loss.backward()
        optimizer.step()
    model.eval()
    inter = union = 0
    with torch.no_grad():
        for image, mask in val_loader:
            p, t = torch.sigmoid(model(image)) > 0.5, mask > 0
            inter += (p & t).sum().item()
            union += (p | t).sum().item()
    print("epoch %d  train loss %.4f  val IoU %.4f" % (epoch + 1, loss.item(), inter / union))
print("metric: iou %.4f" % (inter / union))
