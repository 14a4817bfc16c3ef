"""Portfolio weights that maximize the Sharpe ratio of simulated assets."""
import os
import numpy as np
import torch

seed = int(os.environ.get("CASE_SEED", 0))
rng = np.random.default_rng(seed)

days, assets, factors = 1500, 8, 3
loadings = rng.normal(0, 0.6, (assets, factors))
vol = rng.uniform(0.006, 0.02, assets)
drift = rng.uniform(0.0, 0.0008, assets)
market = rng.normal(0, 0.006, (days, factors))
returns = drift + market @ loadings.T + vol * rng.standard_normal((days, assets))
cov = loadings @ loadings.T * 0.006 ** 2 + np.diag(vol ** 2)

R = torch.tensor(returns, dtype=torch.float32)
theta = torch.nn.Parameter(torch.zeros(assets))
opt = torch.optim.Adam([theta], lr=0.05)


def sharpe(weights, r):
    p = r @ weights
    return p.mean() / p.std() * 252 ** 0.5


for step in range(300):
    w = torch.softmax(theta, dim=0)
    objective = sharpe(w, R)
    opt.zero_grad()
    (-objective).backward()
    opt.step()
    if step % 50 == 0:
        print("step", step, "sharpe %.3f" % objective.item())

w = torch.softmax(theta, 0).detach()

# reference: the best of very many random long-only portfolios
mu, S = returns.mean(0), np.cov(returns.T)
cand = rng.dirichlet(np.ones(assets) * 0.5, 20000)
value = (cand @ mu) / np.sqrt(np.einsum("ij,jk,ik->i", cand, S, cand)) * 252 ** 0.5
equal = (mu.mean()) / np.sqrt(S.mean()) * 252 ** 0.5
print("equal weights %.3f, best of 20000 drawn %.3f" % (equal, value.max()))
print("metric: share_of_best", round(sharpe(w, R).item() / value.max(), 4))
