import os
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import train_test_split

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=42)
ss = StandardScaler()
X_train = torch.tensor(ss.fit_transform(X_train), dtype=torch.float32)
X_test = torch.tensor(ss.transform(X_test), dtype=torch.float32)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)


class DigitClassifier(nn.Module):
    def __init__(self):
        super(DigitClassifier, self).__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 1)
        self.third = nn.Linear(1, 10)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        x = torch.tanh(self.second(x))
        return self.third(x)


model = DigitClassifier()
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=0.005)
for epoch in range(40):
    permutation = torch.randperm(X_train.size(0))
    for i in range(0, X_train.size(0), 64):
        indices = permutation[i:i + 64]
        optimizer.zero_grad()
        loss = criterion(model(X_train[indices]), y_train[indices])
        loss.backward()
        optimizer.step()
    if (epoch + 1) % 8 == 0:
        with torch.no_grad():
            tr = (model(X_train).argmax(1) == y_train).float().mean()
            te = (model(X_test).argmax(1) == y_test).float().mean()
        print("Epoch %d loss %.4f train %.4f test %.4f" % (epoch + 1, loss.item(), tr, te))
print("metric: accuracy %.4f" % te)
