import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
batch_size, num_classes, epochs = 64, 10, 4

path = os.path.join(os.environ.get("CASE_DATA", ""), "mnist10k.npz")
if os.path.exists(path):
    f = np.load(path)
    x, y = f["x"][:2500, ::2, ::2].astype("float32") / 255, f["y"][:2500].astype("int64")
else:
    from sklearn.datasets import load_digits
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8).astype("float32") / 16
x = torch.from_numpy(x).unsqueeze(1)
x = (x - 0.13) / 0.31
y = torch.from_numpy(y)
n = len(x) - 500
x_train, y_train, x_test, y_test = x[:n], y[:n], x[n:], y[n:]
print("x_train shape:", tuple(x_train.shape))


class ConvNet(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3)
        self.conv2 = nn.Conv2d(12, 24, 3)
        self.drop = nn.Dropout(0.25)
        self.fc1 = nn.Linear(24 * ((side - 4) // 2) ** 2, 64)
        self.fc2 = nn.Linear(64, num_classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.drop(x).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


model = ConvNet(x.shape[-1])
optimizer = torch.optim.Adadelta(model.parameters(), lr=0.001)
for epoch in range(epochs):
    model.train()
    running = []
    for rows in torch.randperm(n).split(batch_size):
        loss = F.cross_entropy(model(x_train[rows]), y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running.append(loss.item())
    model.eval()
    with torch.no_grad():
        out = model(x_test)
    acc = (out.argmax(1) == y_test).float().mean().item()
    print("Epoch %d/%d - loss: %.4f - val_loss: %.4f - val_accuracy: %.4f" % (epoch + 1, epochs, np.mean(running), F.cross_entropy(out, y_test), acc))
print("metric: accuracy %.4f" % acc)
