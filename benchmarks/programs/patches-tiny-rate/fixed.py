import os
import numpy as np
import torch
from torch import nn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
rng = np.random.RandomState(9)


def make_images(n):
    kind = rng.randint(0, 3, n)
    img = rng.normal(0, 0.3, (n, 1, 16, 16))
    for i, k in enumerate(kind):
        p = rng.randint(3, 13)
        if k == 0:
            img[i, 0, p, 2:14] += 1.5
        elif k == 1:
            img[i, 0, 2:14, p] += 1.5
        else:
            img[i, 0, range(2, 14), range(2, 14)] += 1.5
    return torch.tensor(img, dtype=torch.float32), torch.tensor(kind)


train_x, train_y = make_images(1500)
test_x, test_y = make_images(500)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
    nn.Flatten(), nn.Linear(64, 3),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(6):
    model.train()
    correct = 0
    for b in torch.randperm(1500).split(30):
        logits = model(train_x[b])
        loss = loss_fn(logits, train_y[b])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        correct += (logits.argmax(1) == train_y[b]).sum().item()
    print("epoch", epoch, "train accuracy", correct / 1500)
model.eval()
with torch.no_grad():
    acc = (model(test_x).argmax(1) == test_y).float().mean().item()
print("metric: accuracy %.4f" % acc)
