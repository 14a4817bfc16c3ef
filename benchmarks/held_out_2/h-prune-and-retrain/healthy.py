import copy
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.utils.prune as prune

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)


def get_data():
    path = os.path.join(os.environ.get("CASE_DATA", ""), "mnist10k.npz")
    if os.path.exists(path):
        f = np.load(path)
        x, y = f["x"].reshape(len(f["x"]), -1)[:4000], f["y"][:4000]
    else:
        from sklearn.datasets import load_digits
        x, y = load_digits(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    x = x / x.max()
    x = (x - x.mean()) / x.std()
    return x, torch.tensor(np.asarray(y), dtype=torch.long)


x, y = get_data()
cut = int(0.8 * len(x))
net = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
criterion = nn.CrossEntropyLoss()


def train(model, epochs, lr):
    opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    for epoch in range(epochs):
        model.train()
        running = 0.0
        for idx in torch.randperm(cut).split(64):
            opt.zero_grad()
            loss = criterion(model(x[idx]), y[idx])
            loss.backward()
            opt.step()
            running += loss.item() * len(idx)
        print("   loss %.4f  accuracy %.4f" % (running / cut, accuracy(model)))


@torch.no_grad()
def accuracy(model):
    model.eval()
    return (model(x[cut:]).argmax(1) == y[cut:]).float().mean().item()


print("dense")
train(net, 5, 0.02)
slim = copy.deepcopy(net)
for amount in (0.6, 0.5):
    for layer in slim:
        if isinstance(layer, nn.Linear):
            prune.l1_unstructured(layer, "weight", amount=amount)
    kept = sum(int(m.weight_mask.sum()) for m in slim if isinstance(m, nn.Linear))
    print("kept", kept, "weights; accuracy before retraining", round(accuracy(slim), 4))
    train(slim, 3, 0.01)
for layer in slim:
    if isinstance(layer, nn.Linear):
        prune.remove(layer, "weight")
print("metric: accuracy", round(accuracy(slim), 4))
