"""Small trainings that an expert would accept: each trains with the seed it is given and says how good it got.

Each yields (what was measured, the least it must reach); higher is better.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

Outcome = tuple[float, float]


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardized digits, shuffled once: 1,400 to train and 397 to test."""
    raw = load_digits()
    x = torch.tensor(raw.data, dtype=torch.float32)
    y = torch.tensor(raw.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    x = (x - x[:1400].mean(0)) / (x[:1400].std(0) + 1)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def accuracy(model: nn.Module) -> float:
    """On the test digits, as everyone measures it."""
    _, _, x, y = digits()
    model.eval()
    with torch.no_grad():
        share = (model(x).argmax(1) == y).float().mean().item()
    model.train()
    return share


def epochs(count: int, size: int = 50, rows: int = 1400):
    """Shuffled batches of row numbers."""
    for _ in range(count):
        yield from torch.randperm(rows).split(size)


class Residual(nn.Module):
    """x + f(x), normalized before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def residual_mlp() -> Outcome:
    x, y, *_ = digits()
    model = nn.Sequential(nn.Linear(64, 48), Residual(48), Residual(48), Residual(48), nn.Linear(48, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for rows in epochs(8):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return accuracy(model), 0.93


def sgd_with_warm_up() -> Outcome:
    x, y, *_ = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, total_iters=60)
    for rows in epochs(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        warm.step()
    return accuracy(model), 0.93


class TinyTransformer(nn.Module):
    """Eight rows of a digit as eight tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.place = nn.Parameter(0.1 * torch.randn(8, 32))
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.embed(x.view(-1, 8, 8)) + self.place).mean(1))


def tiny_transformer() -> Outcome:
    x, y, *_ = digits()
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for rows in epochs(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return accuracy(model), 0.9


class Autoencoder(nn.Module):
    """Variational: mean and log variance of four latent numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(64, 4), nn.Linear(64, 4)
        self.decode = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encode(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        return self.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp()), mean, log_variance


def variational_autoencoder() -> Outcome:
    x, *_ = digits()
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for rows in epochs(15):
        seen, mean, log_variance = model(x[rows])
        error = F.mse_loss(seen, x[rows], reduction="none").sum(1).mean()
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        optimizer.zero_grad()
        (error + divergence).backward()
        optimizer.step()
    with torch.no_grad():
        rest = F.mse_loss(model.decode(model.mean(model.encode(x))), x) / F.mse_loss(x.mean(0).expand_as(x), x)
    return 1 - rest.item(), 0.25


def generative_adversarial() -> Outcome:
    generator = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    makes = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.9))
    judges = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    for _ in range(400):
        real = torch.randn(64, 2) * 0.4 + torch.tensor([1.5, -1.0])
        made = generator(torch.randn(64, 2))
        judges.zero_grad()
        loss = F.binary_cross_entropy_with_logits(critic(real), ones)
        loss = loss + F.binary_cross_entropy_with_logits(critic(made.detach()), zeros)
        loss.backward()
        judges.step()
        makes.zero_grad()
        F.binary_cross_entropy_with_logits(critic(made), ones).backward()
        makes.step()
    with torch.no_grad():
        away = (generator(torch.randn(500, 2)).mean(0) - torch.tensor([1.5, -1.0])).norm().item()
    return -away, -0.7


class Counter(nn.Module):
    """A GRU that reads a row of digits and says their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.GRU(8, 32, batch_first=True)
        self.say = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.read(x.view(-1, 8, 8))
        return self.say(last[0])


def gated_recurrent() -> Outcome:
    x, y, *_ = digits()
    model = Counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for rows in epochs(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return accuracy(model), 0.9


class Adapter(nn.Module):
    """A frozen layer and beside it a product of two thin ones, the second of which begins at zero."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.frozen = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, 8, bias=False)
        self.up = nn.Linear(8, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.up(self.down(x))


def low_rank_adapter() -> Outcome:
    x, y, *_ = digits()
    model = nn.Sequential(Adapter(nn.Linear(64, 64)), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=5e-3)
    for rows in epochs(8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return accuracy(model), 0.9


def frozen_backbone() -> Outcome:
    x, y, *_ = digits()
    backbone = nn.Sequential(nn.Linear(64, 256), nn.ReLU()).requires_grad_(False).eval()
    model = nn.Sequential(backbone, nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=1e-2)
    for rows in epochs(6):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return accuracy(model), 0.9


def imbalanced_but_learned() -> Outcome:
    x = torch.randn(3000, 10)
    y = (x[:, 0] + x[:, 1] > 2.6).float()  # one in thirty
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for rows in epochs(12, rows=3000):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x[rows]).squeeze(1), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        said = model(x).squeeze(1) > 0
    return said[y == 1].float().mean().item(), 0.8


def gradient_accumulation() -> Outcome:
    x, y, *_ = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for number, rows in enumerate(epochs(12, size=20)):
        (F.cross_entropy(model(x[rows]), y[rows]) / 4).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
    return accuracy(model), 0.93


def negative_by_right() -> Outcome:
    """The likelihood of a narrow density is above 1, so its negative logarithm goes below 0 and is right to."""
    x = torch.rand(2000, 1) * 2 - 1
    y = x**3 + 0.02 * torch.randn(2000, 1)
    model = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for rows in epochs(15, rows=2000):
        mean, log_deviation = model(x[rows]).chunk(2, 1)
        likelihood = torch.distributions.Normal(mean, log_deviation.clamp(-5, 2).exp()).log_prob(y[rows])
        optimizer.zero_grad()
        (-likelihood.mean()).backward()
        optimizer.step()
    with torch.no_grad():
        error = (model(x)[:, :1] - y).pow(2).mean() / y.var()
    return 1 - error.item(), 0.95


def batches_of_one() -> Outcome:
    x, y, *_ = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=5e-3)
    for row in epochs(2, size=1):
        optimizer.zero_grad()
        F.cross_entropy(model(x[row]), y[row]).backward()
        optimizer.step()
    return accuracy(model), 0.88


HEALTHY: tuple[Callable[[], Outcome], ...] = (
    residual_mlp,
    sgd_with_warm_up,
    tiny_transformer,
    variational_autoencoder,
    generative_adversarial,
    gated_recurrent,
    low_rank_adapter,
    frozen_backbone,
    imbalanced_but_learned,
    gradient_accumulation,
    negative_by_right,
    batches_of_one,
)
