import os
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import train_test_split

seed = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(seed)

X, y = load_digits(return_X_y=True)
X = X / 16 * 2 - 1
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
forest = ExtraTreesClassifier(60, min_samples_leaf=2, random_state=seed).fit(X_train, y_train)
soft = torch.tensor(forest.predict_proba(X_train), dtype=torch.float32)
X_train, X_test = (torch.tensor(a, dtype=torch.float32) for a in (X_train, X_test))
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
print("forest", round(forest.score(X_test.numpy(), y_test.numpy()), 4))

student = nn.Sequential(nn.Linear(64, 32), nn.Hardswish(), nn.Linear(32, 10))
opt = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
mix = 0.5
for epoch in range(25):
    for b in torch.randperm(len(X_train)).split(64):
        logp = F.log_softmax(student(X_train[b]), dim=1)
        loss = mix * F.kl_div(logp, soft[b], reduction="batchmean") + (1 - mix) * F.nll_loss(logp, y_train[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        with torch.no_grad():
            print(epoch + 1, round(loss.item(), 4), round((student(X_test).argmax(1) == y_test).float().mean().item(), 4))

with torch.no_grad():
    print("metric: accuracy", round((student(X_test).argmax(1) == y_test).float().mean().item(), 4))
