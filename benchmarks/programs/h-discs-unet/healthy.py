import os
import torch
from torch import nn
import torch.nn.functional as F

seed = int(os.environ.get("CASE_SEED", 0))


def scenes(n, g):
    yy, xx = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    c = torch.rand(n, 2, 1, 1, generator=g) * 14 + 5
    r = torch.rand(n, 1, 1, generator=g) * 3 + 3
    mask = ((yy - c[:, 0]) ** 2 + (xx - c[:, 1]) ** 2 < r ** 2).float()
    image = 0.9 * mask + 0.5 * torch.randn(n, 24, 24, generator=g)
    return ((image - 0.15) / 0.6)[:, None], mask[:, None]


x_train, m_train = scenes(500, torch.Generator().manual_seed(1))
x_test, m_test = scenes(120, torch.Generator().manual_seed(2))
torch.manual_seed(seed)


def double(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                         nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class SmallUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = double(1, 8), double(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.join = double(16, 8)
        self.mask = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        return self.mask(self.join(torch.cat([a, self.up(b)], 1)))


def loss_fn(logits, mask):
    p = logits.sigmoid()
    dice = 1 - (2 * (p * mask).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + dice.mean()


net = SmallUNet()
opt = torch.optim.Adam(net.parameters(), lr=4e-3)
for epoch in range(5):
    net.train()
    for i in torch.randperm(500).split(20):
        loss = loss_fn(net(x_train[i]), m_train[i])
        opt.zero_grad()
        loss.backward()
        opt.step()
    print("epoch", epoch, "loss", round(loss.item(), 4))
net.eval()
with torch.no_grad():
    p = (net(x_test) > 0).float()
iou = ((p * m_test).sum((1, 2, 3)) / ((p + m_test) > 0).sum((1, 2, 3))).mean().item()
print("metric: iou %.4f" % iou)
