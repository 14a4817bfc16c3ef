import os
import torch
from torch import nn
from sklearn.datasets import make_classification
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=2500, n_features=20, n_informative=12, n_classes=4, class_sep=1.8, random_state=6)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
y = torch.tensor(y)
model = nn.Sequential(nn.Linear(20, 64), nn.Mish(), nn.Linear(64, 64), nn.Mish(), nn.Linear(64, 4))
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
opt = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
for epoch in range(14):
    for rows in torch.randperm(2000).split(50):
        loss = nn.functional.cross_entropy(model(X[rows]), y[rows], label_smoothing=0.05)
        opt.zero_grad()
        loss.backward()
        opt.step()
        average.update_parameters(model)
    if epoch % 3 == 0:
        print("epoch %d loss %.4f" % (epoch, loss.item()))
average.eval()
with torch.no_grad():
    acc = (average(X[2000:]).argmax(1) == y[2000:]).float().mean().item()
print("metric: accuracy %.4f" % acc)
