import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

SEED = int(os.environ.get("CASE_SEED", 0))
np.random.seed(SEED)
torch.manual_seed(SEED)

path = os.path.join(os.environ.get("CASE_DATA", ""), "mnist10k.npz")
if os.path.exists(path):
    f = np.load(path)
    keys = list(f.keys())
    x_key = [k for k in keys if f[k].ndim > 1][0]
    y_key = [k for k in keys if f[k].ndim == 1][0]
    images, labels = f[x_key].reshape(len(f[x_key]), -1) / 255.0, f[y_key]
else:
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
images = torch.tensor(images[:5000], dtype=torch.float32)
labels = torch.tensor(labels[:5000].astype(np.int64))
images = (images - images.mean()) / images.std()
cut = int(0.8 * len(images))
train = DataLoader(TensorDataset(images[:cut], labels[:cut]), batch_size=100, shuffle=True)

model = nn.Sequential(nn.Linear(images.shape[1], 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1))
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

for epoch in range(12):
    total_loss = 0
    for x, y in train:
        y_onehot = F.one_hot(y, 10).float()
        optimizer.zero_grad()
        loss = criterion(model(x), y_onehot)
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    with torch.no_grad():
        val_acc = (model(images[cut:]).argmax(1) == labels[cut:]).float().mean().item()
    print(f"Epoch {epoch + 1}: loss = {total_loss / len(train):.4f}, val acc = {val_acc:.4f}")
print(f"metric: accuracy {val_acc:.4f}")
