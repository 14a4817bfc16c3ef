"""An ordinary training script that knows nothing of babysit, and learns worse than it could.

Try it: babysit watch examples/train_digits.py
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    """One hidden layer, then the probabilities of the ten digits."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.output = nn.Linear(64, 10)

    def forward(self, images):
        """Images of shape (batch, 64) to probabilities of shape (batch, 10)."""
        return torch.softmax(self.output(torch.relu(self.hidden(images))), dim=1)


def main(epochs: int = 10) -> None:
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data / 16 - 0.5, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for batch in order.split(64):
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
