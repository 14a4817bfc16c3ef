# homework 3: linear + kernel-ish SVM trained with gradient descent
import os
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)

X, y = load_breast_cancer(return_X_y=True)
X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.3, random_state=12, stratify=y)
mu, sd = X_tr.mean(0), X_tr.std(0)
X_tr = torch.tensor((X_tr - mu) / sd).float()
X_te = torch.tensor((X_te - mu) / sd).float()
y_tr = torch.tensor(2 * y_tr - 1).float()
y_te = torch.tensor(2 * y_te - 1).float()


class SVM(torch.nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.hidden = torch.nn.Linear(n_features, 16)
        self.score = torch.nn.Linear(16, 1)

    def forward(self, x):
        return self.score(torch.tanh(self.hidden(x))).squeeze(1)


def hinge(score, label):
    return torch.clamp(1 - label * score, min=0).mean()


svm = SVM(30)
opt = torch.optim.SGD(svm.parameters(), lr=0.1, weight_decay=1e-3)
for epoch in range(60):
    for idx in torch.randperm(len(X_tr)).split(32):
        opt.zero_grad()
        loss = hinge(svm(X_tr[idx]), y_tr[idx])
        loss.backward()
        opt.step()
    if epoch % 10 == 0:
        print("epoch", epoch, "hinge", loss.item())

with torch.no_grad():
    predicted = (svm(X_te) > 0).float()
truth = (y_te > 0).float()
recalls = [(predicted[truth == c] == c).float().mean().item() for c in (0, 1)]
print("metric: balanced_accuracy %.4f" % np.mean(recalls))
