# port of an older Keras script
import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
BN = dict(eps=1e-3, momentum=0.1)


def conv_bn(i, o, stride=1):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o, **BN), nn.ReLU())


model = nn.Sequential(conv_bn(1, 12), conv_bn(12, 24, 2), conv_bn(24, 32, 2), nn.Flatten(), nn.Linear(32 * 4, 10))
x, y = load_digits(return_X_y=True)
x = torch.tensor(x.reshape(-1, 1, 8, 8), dtype=torch.float32) / 16
y = torch.tensor(y)
train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=70, shuffle=True, drop_last=True)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for epoch in range(7):
    model.train()
    history = []
    for xb, yb in train:
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
        history.append((loss.item(), (out.argmax(1) == yb).float().mean().item()))
    model.eval()
    with torch.no_grad():
        out = model(x[1400:])
        val_loss, val_acc = criterion(out, y[1400:]).item(), (out.argmax(1) == y[1400:]).float().mean().item()
    print("Epoch %d - loss: %.4f - acc: %.4f - val_loss: %.4f - val_acc: %.4f" % (epoch + 1, *np.mean(history, 0), val_loss, val_acc))
print("metric: cross_entropy %.4f" % val_loss)
