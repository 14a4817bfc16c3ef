import os
import torch
from torch import nn
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = load_breast_cancer(return_X_y=True)
Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, stratify=y, random_state=5)
scaler = StandardScaler().fit(Xa)
Xa, Xb = (torch.tensor(scaler.transform(v), dtype=torch.float32) for v in (Xa, Xb))
ya = torch.tensor(ya, dtype=torch.float32).view(-1, 1)


def lecun(m):
    if isinstance(m, nn.Linear):
        nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
        nn.init.zeros_(m.bias)


model = nn.Sequential(
    nn.Linear(30, 32), nn.SELU(), nn.AlphaDropout(0.05),
    nn.Linear(32, 32), nn.SELU(), nn.AlphaDropout(0.05),
    nn.Linear(32, 32), nn.SELU(),
    nn.Linear(32, 1), nn.Sigmoid(),
).apply(lecun)
loss_fn = nn.BCELoss()
opt = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8, weight_decay=1e-3)
for epoch in range(25):
    model.train()
    for batch in torch.randperm(len(Xa)).split(32):
        opt.zero_grad()
        loss = loss_fn(model(Xa[batch]), ya[batch])
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        model.eval()
        with torch.no_grad():
            print("epoch", epoch + 1, "train loss", round(loss_fn(model(Xa), ya).item(), 4))
model.eval()
with torch.no_grad():
    guess = (model(Xb).squeeze(1) > 0.5).int().numpy()
print("metric: f1 %.4f" % f1_score(yb, guess))
