import os
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class LeNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(16 * 16, 48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


x, y = load_digits(return_X_y=True)
x = torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8)
x = (x - x.mean()) / x.std()
y = torch.tensor(y)
trainloader = DataLoader(TensorDataset(x[:1297], y[:1297]), batch_size=25, shuffle=True)
testloader = DataLoader(TensorDataset(x[1297:], y[1297:]), batch_size=100)

net = LeNetish()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.05)

for epoch in range(10):
    optimizer.zero_grad()
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(trainloader, 1):
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    print("[%d] loss: %.3f" % (epoch + 1, running_loss / i))

correct = 0
with torch.no_grad():
    for inputs, labels in testloader:
        correct += (net(inputs).argmax(1) == labels).sum().item()
print("metric: accuracy %.4f" % (correct / 500))
