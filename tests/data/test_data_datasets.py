"""Torch Datasets, read through once."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from babysit.data.sources import load_data
from babysit.records.errors import UserError


class _Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        return self.items[place]


def test_a_dataset_keeps_its_order_over_many_batches():
    x, y = torch.randn(700, 3), torch.arange(700) % 5
    samples = load_data(TensorDataset(x, y))
    assert torch.equal(samples.x, x)
    assert torch.equal(samples.y, y)
    assert samples.source == "TensorDataset"


def test_a_loader_stands_for_its_dataset():
    x = torch.randn(10, 3)
    loader = DataLoader(TensorDataset(x, torch.arange(10) % 2), batch_size=3, shuffle=True)
    assert torch.equal(load_data(loader).x, x)


def test_text_labels_in_a_dataset_are_encoded():
    samples = load_data(_Items([(torch.zeros(2), "b"), (torch.ones(2), "a"), (torch.ones(2), "b")]))
    assert samples.class_names == ("a", "b")
    assert samples.y.tolist() == [1, 0, 1]


def test_reading_a_dataset_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    load_data(TensorDataset(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1])))
    assert torch.equal(torch.get_rng_state(), before)


class _Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2), 0


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (_Stream(), "no length"),
        (_Items([]), "empty"),
        (_Items([(torch.zeros(2), 0, 1)] * 2), "not 3 parts"),
        (_Items([{"x": 1}] * 2), "not dict"),
        (_Items([(torch.zeros(2), 0), (torch.zeros(3), 1)]), "reading this Dataset failed"),
        (_Items([(object(), 0), (object(), 1)]), "tensor"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_refused_in_words(dataset, words):
    with pytest.raises(UserError, match=words):
        load_data(dataset)
