import os
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
bunch = load_digits()
x = torch.tensor(bunch.data, dtype=torch.float32) / 8 - 1
y = torch.tensor(bunch.target)
mix = torch.randperm(len(y), generator=torch.Generator().manual_seed(4))
x, y = x[mix], y[mix]
x_train, y_train, x_test, y_test = x[:1400], y[:1400], x[1400:], y[1400:]
by_label = torch.argsort(y_train)
dataset = TensorDataset(x_train[by_label], y_train[by_label])
loader = DataLoader(dataset, batch_size=20, shuffle=False)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(8):
    for images, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), target)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        acc = (model(x_test).argmax(1) == y_test).float().mean().item()
    print("epoch", epoch + 1, "test accuracy", round(acc, 4))
print("metric: accuracy %.4f" % acc)
