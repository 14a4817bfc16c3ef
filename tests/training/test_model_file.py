from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_models import digits_model, weights

from babysit.data.splits import Splits
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.training.model_file import export_model, load_model, save_model


def test_preprocessing_is_saved_with_the_model(few: Splits, tmp_path: Path) -> None:
    model = digits_model(few).eval()
    path = save_model(tmp_path / "deep" / "model.pt", model, about={"classes": list("0123456789")})
    torch.manual_seed(9)
    bare = nn.Sequential(Standardize.fit(torch.rand(4, 64)), mlp(64, 10, hidden=(24,), dropout=0.3, batch_norm=True))
    loaded = load_model(path, bare)
    assert weights(loaded) == weights(model)
    assert torch.equal(loaded(few.test.x), model(few.test.x))
    assert torch.load(path, weights_only=True)["about"] == {"classes": list("0123456789")}


def test_weights_of_another_model_are_refused(few: Splits, tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.pt", digits_model(few))
    with pytest.raises(UserError, match="another model"):
        load_model(path, mlp(64, 10))


def test_a_file_that_is_no_model_and_a_path_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(UserError, match="not a readable model"):
        load_model(tmp_path / "file", mlp(64, 10))
    with pytest.raises(UserError, match="cannot be saved"):
        save_model(tmp_path / "file" / "model.pt", mlp(64, 10))


@pytest.mark.slow
def test_an_exported_model_predicts_the_same_for_any_number_of_samples(few: Splits, tmp_path: Path) -> None:
    model = digits_model(few).eval()
    path = export_model(tmp_path / "model.pt2", model, few.train.x)
    loaded = torch.export.load(path).module()
    for x in (few.test.x, few.test.x[:1]):
        assert torch.allclose(loaded(x), model(x), atol=1e-5)
    assert weights(model) == weights(digits_model(few))


def test_a_model_that_cannot_be_traced_is_refused_with_a_way_out(few: Splits, tmp_path: Path) -> None:
    class Branching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.detach().sum()) > 0 else x[:, :10]

    with pytest.raises(UserError, match="save_model"):
        export_model(tmp_path / "model.pt2", Branching(64, 10), few.train.x)
    assert not (tmp_path / "model.pt2").exists()
