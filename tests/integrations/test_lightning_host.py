"""The Lightning callback on real trainings."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

pl = pytest.importorskip("lightning.pytorch")

from babysit.integrations.hosts.lightning import Babysit  # noqa: E402  only where Lightning is installed
from babysit.records.run import Status  # noqa: E402
from babysit.store.store import Store  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Net(pl.LightningModule):
    def __init__(self, lr=1e-2, fail_at=None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
        self.lr = lr
        self.fail_at = fail_at

    def training_step(self, batch, index):
        if self.fail_at == self.global_step:
            raise RuntimeError("the data are gone")
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        output = self.net(x)
        self.log("val_loss", nn.functional.cross_entropy(output, y))
        self.log("val_acc", (output.argmax(-1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def loaders():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(240, 8, generator=generator)
    y = (x @ torch.randn(8, 3, generator=generator)).argmax(-1)
    data = torch.utils.data.TensorDataset(x, y)
    train, validation = torch.utils.data.Subset(data, range(192)), torch.utils.data.Subset(data, range(192, 240))
    return torch.utils.data.DataLoader(train, 32), torch.utils.data.DataLoader(validation, 48)


def trained(folder, callbacks, **options):
    torch.manual_seed(0)
    net = Net(**options)
    trainer = pl.Trainer(
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
    )
    trainer.fit(net, *loaders())
    return net


@pytest.fixture
def callback(tmp_path):
    return Babysit(store=str(tmp_path / "kept"), name="three epochs")


def test_a_training_becomes_a_judged_run_in_the_store(tmp_path, callback):
    trained(tmp_path, [callback])
    run = callback.run
    assert run.status is Status.FINISHED
    assert run.events.steps == 18
    assert len(run.curves.get("train/loss")) == 18
    assert any("Linear" in layer.kind for layer in run.model_summary.layers)
    assert np.isfinite(run.layer_metrics.series("update_ratio", "net.0")).any()
    with Store(str(tmp_path / "kept")) as store:
        kept = store.load("latest")
    assert (kept.id, kept.name, kept.status) == (run.id, "three epochs", Status.FINISHED)
    assert kept.curves.get("train/loss").values.tolist() == run.curves.get("train/loss").values.tolist()
    assert [finding.code for finding in kept.findings] == [finding.code for finding in run.findings]


def test_what_the_module_logs_is_kept_once_a_step_under_the_usual_name(tmp_path, callback):
    trained(tmp_path, [callback])
    for name in ("val/loss", "val/accuracy", "train_loss"):
        series = callback.run.curves.get(name)
        assert series.steps.tolist() == [5, 11, 17], name
    assert callback.run.curves.get("val/loss").values[-1] < callback.run.curves.get("val/loss").values[0]


def test_watched_or_not_the_weights_are_the_same_bit_for_bit(tmp_path, callback):
    plain, watched = trained(tmp_path, []), trained(tmp_path, [callback])
    pairs = zip(plain.parameters(), watched.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_crash_is_kept_and_goes_its_way(tmp_path, callback):
    with pytest.raises(RuntimeError, match="the data are gone"):
        trained(tmp_path, [callback], fail_at=7)
    assert callback.run.status is Status.CRASHED
    with Store(str(tmp_path / "kept")) as store:
        kept = store.load("latest")
    assert kept.status is Status.CRASHED
    assert len(kept.curves.get("train/loss")) == 7


def test_a_lr_that_is_far_too_high_is_found(tmp_path, callback):
    trained(tmp_path, [callback], lr=1e4)
    assert callback.run.verdict == "problems"


def test_without_lightning_the_message_says_how_to_get_it():
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "from babysit.records.errors import UserError\n"
        "try:\n    import babysit.integrations.hosts.lightning\nexcept UserError as problem:\n    print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'babysit[lightning]'" in done.stdout
