import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.stats import spearmanr

rng = np.random.default_rng(9)
n = 2000
x = rng.normal(size=(n, 6)).astype("float32")
quality = x[:, 0] + 0.7 * np.tanh(2 * x[:, 1]) - 0.5 * x[:, 2] * x[:, 3] + 0.2 * rng.normal(size=n)
grade = np.digitize(quality, np.quantile(quality, [0.1, 0.3, 0.6, 0.85]))
x, grade = torch.from_numpy(x), torch.from_numpy(grade)

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class Ordinal(nn.Module):
    """one score, four ordered thresholds; output k is the logit of 'better than grade k'"""

    def __init__(self, d, grades):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(d, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 1, bias=False))
        self.first = nn.Parameter(torch.tensor(-1.5))
        self.gaps = nn.Parameter(torch.zeros(grades - 2))

    def forward(self, x):
        thresholds = torch.cat([self.first[None], self.first + F.softplus(self.gaps).cumsum(0)])
        return self.score(x) - thresholds


model = Ordinal(6, 5)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
above = (grade[:, None] > torch.arange(4)).float()
for epoch in range(30):
    for rows in torch.randperm(1600).split(64):
        loss = F.binary_cross_entropy_with_logits(model(x[rows]), above[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 6 == 5:
        print("epoch", epoch + 1, "loss", round(loss.item(), 4))
with torch.no_grad():
    predicted = (model(x[1600:]) > 0).sum(1)
print("metric: rank_correlation %.4f" % spearmanr(predicted, grade[1600:])[0])
