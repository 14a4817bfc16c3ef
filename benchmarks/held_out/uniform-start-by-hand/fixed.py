"""two-layer network written with bare tensors"""
import os
import torch
from sklearn.datasets import load_digits

torch.manual_seed(int(os.environ.get("CASE_SEED", 0)))
data = load_digits()
X = torch.tensor(data.data, dtype=torch.float32) / 16
Y = torch.nn.functional.one_hot(torch.tensor(data.target), 10).float()
X_train, Y_train, X_test, Y_test = X[:1300], Y[:1300], X[1300:], Y[1300:]


class NeuralNetwork:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1 = torch.randn(n_in, n_hidden) / n_in ** 0.5
        self.b1 = torch.zeros(n_hidden)
        self.W2 = torch.randn(n_hidden, n_out) / n_hidden ** 0.5
        self.b2 = torch.zeros(n_out)
        for p in self.parameters():
            p.requires_grad_(True)

    def parameters(self):
        return [self.W1, self.b1, self.W2, self.b2]

    def forward(self, X):
        hidden = torch.sigmoid(X @ self.W1 + self.b1)
        return torch.log_softmax(hidden @ self.W2 + self.b2, dim=1)

    def train(self, X, Y, epochs, lr, batch=50):
        for epoch in range(epochs):
            order = torch.randperm(len(X))
            for i in range(0, len(X), batch):
                rows = order[i:i + batch]
                loss = -(Y[rows] * self.forward(X[rows])).sum(1).mean()
                loss.backward()
                with torch.no_grad():
                    for p in self.parameters():
                        p -= lr * p.grad
                        p.grad.zero_()
            if epoch % 5 == 0:
                print("epoch", epoch, "loss", loss.item())


nn = NeuralNetwork(64, 40, 10)
nn.train(X_train, Y_train, epochs=30, lr=0.5)
with torch.no_grad():
    accuracy = (nn.forward(X_test).argmax(1) == Y_test.argmax(1)).float().mean().item()
print("metric: accuracy %.4f" % accuracy)
