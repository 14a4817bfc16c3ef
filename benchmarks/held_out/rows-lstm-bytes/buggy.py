import os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import Dataset, DataLoader

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class Rows(Dataset):
    """every image is read as a sequence of its rows"""

    def __init__(self, train=True):
        path = os.path.join(os.environ.get("CASE_DATA", ""), "mnist10k.npz")
        if os.path.exists(path):
            archive = np.load(path)
            x, y = archive["x"][:3000, ::2, ::2], archive["y"][:3000]
        else:
            from sklearn.datasets import load_digits
            x, y = load_digits(return_X_y=True)
            x = (x.reshape(-1, 8, 8) * 15.9).astype("uint8")
        cut = len(x) * 4 // 5
        self.x = x[:cut] if train else x[cut:]
        self.y = y[:cut] if train else y[cut:]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return torch.from_numpy(self.x[i].astype(np.float32)), int(self.y[i])


class RowLSTM(nn.Module):
    def __init__(self, width, hidden=48):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x):
        out, (h, c) = self.lstm(x)
        return self.fc(h[-1])


train, test = Rows(True), Rows(False)
model = RowLSTM(train.x.shape[2])
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for epoch in range(7):
    model.train()
    losses = []
    for images, labels in DataLoader(train, batch_size=60, shuffle=True):
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    hits = 0
    with torch.no_grad():
        for images, labels in DataLoader(test, batch_size=300):
            hits += (model(images).argmax(1) == labels).sum().item()
    print("epoch %d | loss %.4f | test accuracy %.4f" % (epoch, np.mean(losses), hits / len(test)))
print("metric: accuracy %.4f" % (hits / len(test)))
