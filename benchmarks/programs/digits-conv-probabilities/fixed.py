import os
import torch
from torch import nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

torch.manual_seed(int(os.environ.get("CASE_SEED", "0")))

images, labels = load_digits(return_X_y=True)
tr_x, te_x, tr_y, te_y = train_test_split(images / 16.0, labels, test_size=0.3, random_state=7, stratify=labels)
tr_x = torch.tensor(tr_x, dtype=torch.float32).view(-1, 1, 8, 8)
te_x = torch.tensor(te_x, dtype=torch.float32).view(-1, 1, 8, 8)
tr_y, te_y = torch.tensor(tr_y), torch.tensor(te_y)


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


net = DigitNet()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for epoch in range(8):
    net.train()
    running = 0.0
    for idx in torch.randperm(len(tr_x)).split(32):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(tr_x[idx]), tr_y[idx])
        loss.backward()
        optimizer.step()
        running += loss.item() * len(idx)
    print(f"epoch {epoch + 1}: loss {running / len(tr_x):.4f}")

net.eval()
with torch.no_grad():
    accuracy = (net(te_x).argmax(1) == te_y).float().mean().item()
print("metric: accuracy %.4f" % accuracy)
