import os

import torch
import torch.nn as nn
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))


class Trainer:
    def __init__(self, model, lr=0.02):
        self.model = model
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, mode="min", factor=0.1, patience=1)

    def train_one_epoch(self, x, y, batch_size=32):
        self.model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch_size):
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x[rows]), y[rows])
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(rows)
        return total / len(x)

    @torch.no_grad()
    def validate(self, x, y):
        self.model.eval()
        out = self.model(x)
        return self.criterion(out, y).item(), (out.argmax(1) == y).float().mean().item()

    def fit(self, train, valid, epochs):
        for epoch in range(epochs):
            train_loss = self.train_one_epoch(*train)
            valid_loss, valid_acc = self.validate(*valid)
            self.scheduler.step(valid_loss)
            print(f"[{epoch + 1:2d}/{epochs}] train {train_loss:.4f} valid {valid_loss:.4f} acc {valid_acc:.4f}")
        return valid_acc


data = load_digits()
images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8.0 - 1.0
target = torch.tensor(data.target)
shuffle = torch.randperm(len(images))
images, target = images[shuffle], target[shuffle]

net = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
    nn.Flatten(), nn.Linear(96, 10),
)
accuracy = Trainer(net).fit((images[:1300], target[:1300]), (images[1300:], target[1300:]), epochs=16)
print("metric: accuracy", round(accuracy, 4))
