import os
import numpy as np
import pandas as pd
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

RANDOM_STATE = int(os.environ.get("CASE_SEED", 0))
torch.manual_seed(RANDOM_STATE)

# 1. Load the data
X, y = make_classification(n_samples=2400, n_features=18, n_informative=9, class_sep=1.1, weights=[0.65],
                           random_state=RANDOM_STATE)
df = pd.DataFrame(X).add_prefix("f")
df["churn"] = y

# 2. Split & scale
X_train, X_test, y_train, y_test = train_test_split(df.drop(columns="churn").values, df[["churn"]].values,
                                                    test_size=0.25, stratify=df["churn"], random_state=RANDOM_STATE)
scaler = StandardScaler().fit(X_train)
X_train, X_test = (torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (X_train, X_test))
y_train, y_test = (torch.tensor(a, dtype=torch.float32) for a in (y_train, y_test))
train_loader = DataLoader(TensorDataset(X_train, y_train), batch_size=64, shuffle=True)


# 3. The model
class ChurnModel(nn.Module):
    def __init__(self, n_features):
        super(ChurnModel, self).__init__()
        self.fc1 = nn.Linear(n_features, 40)
        self.fc2 = nn.Linear(40, 20)
        self.fc3 = nn.Linear(20, 1)
        self.relu = nn.ReLU()
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        x = self.drop(self.relu(self.fc1(x)))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


model = ChurnModel(X_train.shape[1])
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

# 4. Training
history = {"loss": [], "auc": []}
for epoch in range(15):
    model.train()
    batch_losses = []
    for xb, yb in train_loader:
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
        batch_losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        auc = roc_auc_score(y_test.numpy(), model(X_test).numpy())
    history["loss"].append(np.mean(batch_losses))
    history["auc"].append(auc)
    print("Epoch: {:02d} | Loss: {:.4f} | AUC: {:.4f}".format(epoch + 1, history["loss"][-1], auc))

print("metric: auc %.4f" % history["auc"][-1])
