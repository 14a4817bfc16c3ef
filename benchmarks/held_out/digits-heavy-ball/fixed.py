import os
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)

LEARNING_RATE = 0.02
MOMENTUM = 0.9
EPOCHS = 10

digits = load_digits()
X = torch.tensor(digits.data / 16.0 - 0.3, dtype=torch.float32)
Y = torch.tensor(digits.target)
train_set, test_set = random_split(TensorDataset(X, Y), [1400, 397], generator=torch.Generator().manual_seed(0))
train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
test_loader = DataLoader(test_set, batch_size=397)

model = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 40), nn.ReLU(), nn.Linear(40, 10))
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)


def run_epoch(loader, train):
    model.train(train)
    loss_sum, right, seen = 0.0, 0, 0
    with torch.set_grad_enabled(train):
        for x, y in loader:
            out = model(x)
            loss = loss_function(out, y)
            if train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(y)
            right += (out.argmax(1) == y).sum().item()
            seen += len(y)
    return loss_sum / seen, right / seen


for epoch in range(EPOCHS):
    tr, va = run_epoch(train_loader, True), run_epoch(test_loader, False)
    print("%2d  train %.3f %.3f   test %.3f %.3f" % (epoch + 1, *tr, *va))
print("metric: accuracy %.4f" % va[1])
