import os
import torch
from torch import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))

bunch = load_digits()
X_train, X_test, t_train, t_test = train_test_split(bunch.data, bunch.target, test_size=0.3, random_state=0)
mean, std = X_train.mean(), X_train.std()
X_train = torch.tensor((X_train - mean) / std, dtype=torch.float)
X_test = torch.tensor((X_test - mean) / std, dtype=torch.float)
t_train, t_test = torch.tensor(t_train), torch.tensor(t_test)


def block(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Softmax(dim=1))


model = nn.Sequential(block(64, 64), block(64, 48), nn.Linear(48, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))
criterion = nn.CrossEntropyLoss()

train_curve, test_curve = [], []
for epoch in range(20):
    model.train()
    loss_sum = 0.0
    for chunk in torch.randperm(len(X_train)).split(32):
        scores = model(X_train[chunk])
        loss = criterion(scores, t_train[chunk])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += float(loss) * len(chunk)
    model.eval()
    with torch.no_grad():
        test_curve.append((model(X_test).argmax(1) == t_test).float().mean().item())
    train_curve.append(loss_sum / len(X_train))

print("training loss:", " ".join("%.2f" % v for v in train_curve))
print("test accuracy:", " ".join("%.2f" % v for v in test_curve))
print("metric: accuracy %.4f" % test_curve[-1])
