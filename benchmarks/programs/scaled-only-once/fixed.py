import os
import torch
from torch import nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
X, y = make_classification(n_samples=2000, n_features=15, n_informative=9, class_sep=1.4, shift=None, scale=None, random_state=40)
X = X * 6 + 25
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, random_state=1)
scaler = StandardScaler()
X_train = scaler.fit_transform(X_train)
X_val = scaler.transform(X_val)


def loader(a, b, shuffle):
    return DataLoader(TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(b)), batch_size=50, shuffle=shuffle)


train_loader, val_loader = loader(X_train, y_train, True), loader(X_val, y_val, False)
model = nn.Sequential(nn.Linear(15, 40), nn.ReLU(), nn.Dropout(0.1), nn.Linear(40, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(12):
    model.train()
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
    model.eval()
    val_loss, hits = 0.0, 0
    with torch.no_grad():
        for xb, yb in val_loader:
            out = model(xb)
            val_loss += criterion(out, yb).item() / len(val_loader)
            hits += (out.argmax(1) == yb).sum().item()
    print(f"epoch {epoch} train {loss.item():.3f} validation {val_loss:.3f} accuracy {hits / len(y_val):.3f}")
print("metric: accuracy %.4f" % (hits / len(y_val)))
