import os
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
data = load_digits()
order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(1))
X = torch.tensor(StandardScaler().fit_transform(data.data), dtype=torch.float32)[order]
Y = torch.tensor(data.target)[order]
Xtr, Ytr, Xte, Yte = X[:1300], Y[:1300], X[1300:], Y[1300:]

model = torch.nn.Sequential(
    torch.nn.Linear(64, 48),
    torch.nn.Tanh(),
    torch.nn.Linear(48, 10),
)
loss_function = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def target_of(y):
    return y


def decide(out):
    return out.argmax(1)


for epoch in range(25):
    shuffled = torch.randperm(len(Xtr))
    for batch in shuffled.split(50):
        optimizer.zero_grad()
        loss = loss_function(model(Xtr[batch]), target_of(Ytr[batch]))
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        acc = (decide(model(Xte)) == Yte).float().mean().item()
    if epoch % 4 == 0:
        print(f"epoch {epoch:2d} loss {loss.item():.3f} test accuracy {acc:.3f}")
print(f"metric: accuracy {acc:.4f}")
