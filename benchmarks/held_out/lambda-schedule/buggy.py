import logging
import os
import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("train")


class Config:
    lr = 0.002
    epochs = 15
    warmup = 40
    batch = 48
    seed = int(os.environ.get("CASE_SEED", 0))


class Trainer:
    def __init__(self, model, cfg, steps):
        self.model, self.cfg, self.steps = model, cfg, steps
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=0.01)
        self.scheduler = LambdaLR(self.optimizer, self.rate)
        self.loss = nn.CrossEntropyLoss()

    def rate(self, step):
        if step < self.cfg.warmup:
            return self.cfg.lr * (step + 1) / self.cfg.warmup
        return self.cfg.lr * 0.5 * (1 + np.cos(np.pi * (step - self.cfg.warmup) / (self.steps - self.cfg.warmup)))

    def fit(self, x, y):
        for epoch in range(self.cfg.epochs):
            self.model.train()
            losses = []
            perm = torch.randperm(len(x))[:len(x) // self.cfg.batch * self.cfg.batch]
            for rows in perm.view(-1, self.cfg.batch):
                self.optimizer.zero_grad()
                loss = self.loss(self.model(x[rows]), y[rows])
                loss.backward()
                self.optimizer.step()
                self.scheduler.step()
                losses.append(loss.item())
            log.info("epoch %d loss %.4f", epoch, np.mean(losses))

    @torch.no_grad()
    def accuracy(self, x, y):
        self.model.eval()
        return (self.model(x).argmax(1) == y).float().mean().item()


cfg = Config()
torch.manual_seed(cfg.seed)
images, digits = load_digits(return_X_y=True)
images = (images - images.mean()) / images.std()
xa, xb, ya, yb = train_test_split(images.astype("float32"), digits, test_size=0.25, random_state=0)
xa, xb, ya, yb = map(torch.from_numpy, (xa, xb, ya, yb))
model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.LayerNorm(96), nn.Linear(96, 10))
trainer = Trainer(model, cfg, cfg.epochs * (len(xa) // cfg.batch))
trainer.fit(xa, ya)
print("metric: accuracy %.4f" % trainer.accuracy(xb, yb))
