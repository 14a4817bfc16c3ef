# character model in the manner of Bengio et al. 2003, parameters by hand
import os
import torch
import torch.nn.functional as F

path = os.path.join(os.environ["CASE_DATA"], "tinyshakespeare.txt")
words = sorted(set(w for w in open(path).read().lower().split() if w.isalpha()))
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
block_size = 3


def build_dataset(words):
    X, Y = [], []
    for w in words:
        context = [0] * block_size
        for ch in w + ".":
            ix = stoi[ch]
            X.append(context)
            Y.append(ix)
            context = context[1:] + [ix]
    return torch.tensor(X), torch.tensor(Y)


shuffled = [words[i] for i in torch.randperm(len(words), generator=torch.Generator().manual_seed(42)).tolist()]
n1 = int(0.9 * len(shuffled))
Xtr, Ytr = build_dataset(shuffled[:n1])
Xdev, Ydev = build_dataset(shuffled[n1:])

g = torch.Generator().manual_seed(int(os.environ.get("CASE_SEED", 0)))
n_embd, n_hidden, vocab = 10, 128, len(stoi)
C = torch.randn((vocab, n_embd), generator=g)
W1 = torch.randn((n_embd * block_size, n_hidden), generator=g) * (5 / 3) / ((n_embd * block_size) ** 0.5)
W2 = torch.randn((n_hidden, vocab), generator=g) * 0.01
b2 = torch.zeros(vocab)
bngain = torch.ones((1, n_hidden))
bnbias = torch.zeros((1, n_hidden))
bnmean_running = torch.zeros((1, n_hidden))
bnstd_running = torch.ones((1, n_hidden))
parameters = [C, W1, W2, b2, bngain, bnbias]
for p in parameters:
    p.requires_grad = True
print(sum(p.nelement() for p in parameters))

max_steps, batch_size = 2500, 64
for i in range(max_steps):
    ix = torch.randint(0, Xtr.shape[0], (batch_size,), generator=g)
    Xb, Yb = Xtr[ix], Ytr[ix]
    hpreact = C[Xb].view(batch_size, -1) @ W1
    bnmeani = hpreact.mean(0, keepdim=True)
    bnstdi = hpreact.std(0, keepdim=True)
    h = torch.tanh(bngain * (hpreact - bnmeani) / bnstdi + bnbias)
    with torch.no_grad():
        bnmean_running = 0.99 * bnmean_running + 0.01 * bnmeani
        bnstd_running = 0.99 * bnstd_running + 0.01 * bnstdi
    loss = F.cross_entropy(h @ W2 + b2, Yb)
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.2 if i < 1600 else 0.02
    for p in parameters:
        p.data += -lr * p.grad
    if i % 250 == 0:
        print(f"{i:7d}/{max_steps:7d}: {loss.item():.4f}")

with torch.no_grad():
    hpreact = C[Xdev].view(len(Xdev), -1) @ W1
    h = torch.tanh(bngain * (hpreact - bnmean_running) / bnstd_running + bnbias)
    dev = F.cross_entropy(h @ W2 + b2, Ydev).item()
print("metric: cross_entropy %.4f" % dev)
