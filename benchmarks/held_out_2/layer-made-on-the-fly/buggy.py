import os
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

np.random.seed(int(os.environ.get("CASE_SEED", 0)))
torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

X, y = load_digits(return_X_y=True)
X = (X.reshape(-1, 1, 8, 8) - 4.9) / 6.0
X_tr, X_te, y_tr, y_te = [torch.tensor(a) for a in train_test_split(X.astype("float32"), y, test_size=0.25, random_state=1)]


class MyCNN(nn.Module):
    def __init__(self):
        super(MyCNN, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3)
        self.output = nn.Linear(32, 10)

    def forward(self, x):
        x = nn.functional.relu(self.conv1(x))
        x = nn.functional.relu(self.conv2(x))
        x = x.view(x.size(0), -1)
        dense = nn.Linear(x.size(1), 32)
        x = nn.functional.relu(dense(x))
        return self.output(x)


mynet = MyCNN()
loss_fn = nn.CrossEntropyLoss()
optimiser = torch.optim.Adam(mynet.parameters(), lr=0.002)
batch_size = 50

for epoch in range(12):
    ids = np.random.permutation(len(X_tr))
    running, correct = 0.0, 0
    for b in range(0, len(ids), batch_size):
        pick = ids[b:b + batch_size]
        out = mynet(X_tr[pick])
        loss = loss_fn(out, y_tr[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        running += loss.item() * len(pick)
        correct += (out.argmax(1) == y_tr[pick]).sum().item()
    print("epoch %d: loss %.3f, training accuracy %.3f" % (epoch, running / len(ids), correct / len(ids)))

with torch.no_grad():
    acc = (mynet(X_te).argmax(1) == y_te).float().mean().item()
print("metric: accuracy %.4f" % acc)
