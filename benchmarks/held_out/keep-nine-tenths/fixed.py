import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
DROPOUT = 0.1

digits = load_digits()
x = (digits.data - digits.data.mean()) / digits.data.std()
xtr, xte, ytr, yte = train_test_split(x, digits.target, test_size=0.25, random_state=8)
xtr, xte = torch.tensor(xtr).float(), torch.tensor(xte).float()
ytr, yte = torch.tensor(ytr), torch.tensor(yte)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 50)
        self.fc2 = nn.Linear(50, 30)
        self.fc3 = nn.Linear(30, 10)

    def forward(self, x):
        x = F.dropout(F.relu(self.fc1(x)), DROPOUT, training=self.training)
        x = F.dropout(F.relu(self.fc2(x)), DROPOUT, training=self.training)
        return self.fc3(x)


model = Model()
opt = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(20):
    model.train()
    losses = []
    for b in torch.randperm(len(xtr)).split(32):
        opt.zero_grad()
        loss = F.cross_entropy(model(xtr[b]), ytr[b])
        loss.backward()
        opt.step()
        losses.append(loss.detach())
    model.eval()
    with torch.no_grad():
        test_loss = F.cross_entropy(model(xte), yte).item()
        test_acc = (model(xte).argmax(1) == yte).float().mean().item()
    if epoch % 4 == 3:
        print("epoch %d train loss %.3f test loss %.3f test acc %.3f" % (epoch + 1, torch.stack(losses).mean(), test_loss, test_acc))
print("metric: accuracy %.4f" % test_acc)
