import os

import numpy as np
import pandas as pd
import torch
from torch import nn

seed = int(os.environ.get("CASE_SEED", 0))
np.random.seed(seed)
torch.manual_seed(seed)

# ---- a table like the one from the core facility: rows = tumours, columns = genes
n_genes, n_subtypes, n_samples = 120, 20, 1400
rng = np.random.default_rng(seed)
subtype = rng.integers(0, n_subtypes, n_samples)
signature = rng.normal(0, 1.0, (n_subtypes, n_genes)) * (rng.random((n_subtypes, n_genes)) < 0.25)
log_expression = 5 + signature[subtype] + rng.normal(0, 1.0, (n_samples, n_genes))
table = pd.DataFrame(log_expression, columns=[f"GENE{i:03d}" for i in range(n_genes)])
table["subtype"] = pd.Categorical([f"S{k}" for k in subtype], categories=[f"S{k}" for k in range(n_subtypes)])

genes = [c for c in table.columns if c.startswith("GENE")]
train, test = table.iloc[:1100], table.iloc[1100:]
mu, sd = train[genes].mean(), train[genes].std()


def to_xy(frame):
    x = ((frame[genes] - mu) / sd).to_numpy(dtype="float32")
    return torch.from_numpy(x), torch.tensor(frame["subtype"].cat.codes.to_numpy(), dtype=torch.long)


x_train, y_train = to_xy(train)
x_test, y_test = to_xy(test)

classifier = nn.Sequential(
    nn.Linear(n_genes, 64),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(64, n_subtypes),
    nn.Softmax(dim=1),
)
criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
opt = torch.optim.SGD(classifier.parameters(), lr=0.05, weight_decay=1e-4)

for epoch in range(1, 13):
    classifier.train()
    perm = torch.randperm(len(x_train))
    losses = []
    for i in range(0, len(perm), 32):
        rows = perm[i:i + 32]
        opt.zero_grad()
        loss = criterion(classifier(x_train[rows]), y_train[rows])
        loss.backward()
        opt.step()
        losses.append(loss.item())
    classifier.eval()
    with torch.no_grad():
        called = classifier(x_test).argmax(dim=1)
        acc = (called == y_test).float().mean().item()
    if epoch % 3 == 0:
        print(f"epoch {epoch:2d}  train loss {np.mean(losses):.3f}  test accuracy {acc:.3f}")

print(pd.crosstab(test["subtype"].to_numpy(), called.numpy()).shape, "confusion table")
print("metric: accuracy", round(acc, 4))
