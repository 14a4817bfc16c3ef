"""Masks drawn beforehand are those that PyTorch's own dropout draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.tuning.vectorized.dropout_masks import DropoutMasks, need_own
from babysit.tuning.vectorized.eligibility import NotVectorizableError, Site, check_vectorizable
from babysit.tuning.vectorized.signature import signature


class Drawer:
    """What Noise reads of a member."""

    def __init__(self, seed, *shares):
        self.random_state = torch.Generator().manual_seed(seed).get_state()
        self.dropped = shares


CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d], ids=lambda kind: kind.__name__)
def test_a_mask_is_bit_for_bit_what_torch_multiplies_with(kind):
    x = torch.randn(5, 7, 4, 4)
    shape = (7, 4, 4) if kind is nn.Dropout else (7, 1, 1)
    noise = DropoutMasks([Drawer(3, 0.3, 0.6)], [Site(name="one", shape=shape), Site(name="two", shape=shape)], CPU)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for _ in range(3):
            masks = noise.draw(5, own=False)
            assert torch.equal(x * masks["one"], kind(0.3)(x))
            assert torch.equal(x * masks["two"], kind(0.6)(x))
        assert torch.equal(noise.random_states()[0], torch.get_rng_state())


def test_shares_of_none_and_all_draw_nothing():
    noise = DropoutMasks([Drawer(3, 0.0, 1.0)], [Site(name="one", shape=(4,)), Site(name="two", shape=(4,))], CPU)
    masks = noise.draw(2, own=False)
    assert masks["one"].eq(1).all()
    assert masks["two"].eq(0).all()
    assert torch.equal(noise.random_states()[0], Drawer(3).random_state)


def test_members_share_masks_unless_their_share_or_their_numbers_differ():
    assert not need_own([Drawer(1, 0.5), Drawer(1, 0.5)])
    assert need_own([Drawer(1, 0.5), Drawer(1, 0.4)])
    assert need_own([Drawer(1, 0.5), Drawer(2, 0.5)])
    masks = DropoutMasks([Drawer(1, 0.5), Drawer(1, 0.25), Drawer(1, 0.5)], [Site(name="one", shape=(400,))], CPU)
    drawn = masks.draw(8, own=True)["one"]
    assert drawn.shape == (3, 8, 400)
    assert torch.equal(drawn[0], drawn[2])
    assert drawn[1].eq(0).float().mean() == pytest.approx(0.25, abs=0.05)


def test_dropout_that_is_used_twice_cannot_be_prepared():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.out, self.drop = nn.Linear(4, 2), nn.Dropout(0.5)

        def forward(self, x):
            return self.out(self.drop(self.drop(x)))

    model = Twice()
    with pytest.raises(NotVectorizableError, match="'drop' is used twice"), torch.random.fork_rng():
        check_vectorizable(model, torch.randn(8, 4), torch.zeros(8).long(), nn.functional.cross_entropy)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_shares_do_not_part_members_but_slopes_do():
    from babysit.testing.executor_contract import workload
    from babysit.training.hyperparameters import hyperparameters_of
    from babysit.tuning.executors.base import TrialConfig

    hyperparameters = hyperparameters_of(TrialConfig(number=0, parameters={}), workload())
    one, other = (nn.Sequential(nn.Linear(4, 4), nn.Dropout(share)) for share in (0.1, 0.7))
    assert signature(one, hyperparameters) == signature(other, hyperparameters)
    one, other = (nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(slope)) for slope in (0.1, 0.7))
    assert signature(one, hyperparameters) != signature(other, hyperparameters)
