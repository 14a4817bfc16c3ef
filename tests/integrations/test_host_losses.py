"""In real hosts the recorded losses are those that the host itself logs, with and without micro-batches."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.curves import TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS

pytestmark = pytest.mark.slow

GENERATOR = torch.Generator().manual_seed(0)
INPUTS, OTHERS = torch.randn(96, 6, generator=GENERATOR), torch.randn(40, 6, generator=GENERATOR)
LABELS, OTHER_LABELS = INPUTS[:, :3].argmax(1), OTHERS[:, :3].argmax(1)


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_lightning_logs_what_is_recorded(micro_batches: int) -> None:
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
            self.pieces: list[float] = []
            self.steps: list[float] = []
            self.epochs: list[tuple[float, float]] = []

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            self.pieces.append(loss.item())
            return loss

        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            self.steps.append(float(np.mean(self.pieces)))
            self.pieces.clear()

        def validation_step(self, batch: list[Tensor], _: int) -> None:
            out = self.net(batch[0])
            right = (out.argmax(1) == batch[1]).float().mean()
            self.log_dict({"loss": F.cross_entropy(out, batch[1]), "right": right}, batch_size=len(out))

        def on_validation_epoch_end(self) -> None:
            metrics = self.trainer.callback_metrics
            self.epochs.append((float(metrics["loss"]), float(metrics["right"])))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    def batches(x: Tensor, y: Tensor) -> torch.utils.data.DataLoader[Any]:
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16)

    torch.manual_seed(0)
    module = Module()
    with warnings.catch_warnings(), Monitor() as watching:
        warnings.simplefilter("ignore")
        lightning.Trainer(
            max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, accumulate_grad_batches=micro_batches,
            gradient_clip_val=1.0,
        ).fit(module, batches(INPUTS, LABELS), batches(OTHERS, OTHER_LABELS))  # fmt: skip
    curves = watching.run.curves
    assert len(module.steps) == 30 // micro_batches
    np.testing.assert_allclose(curves.get(TRAIN_LOSS).values, module.steps, rtol=1e-5)
    np.testing.assert_allclose(curves.get(VAL_LOSS).values, [loss for loss, _ in module.epochs], rtol=1e-5)
    np.testing.assert_allclose(curves.get(VAL_ACCURACY).values, [right for _, right in module.epochs], rtol=1e-5)


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_the_trainer_of_hugging_face_logs_what_is_recorded(micro_batches: int, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip
    # First tokens are drawn, and each row counts on from there.
    rows = (torch.randint(32, (192, 1), generator=GENERATOR) + 3 * torch.arange(12)) % 32
    rows = [{"input_ids": row, "labels": row} for row in rows]
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=1, per_device_train_batch_size=4, per_device_eval_batch_size=8,
        gradient_accumulation_steps=micro_batches, learning_rate=1e-2, logging_steps=1, eval_strategy="steps",
        eval_steps=4, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    with Monitor() as watching:
        trainer = transformers.Trainer(model, arguments, train_dataset=rows[:160], eval_dataset=rows[160:])
        trainer.train()
    history, run = trainer.state.log_history, watching.run
    losses = [entry["loss"] for entry in history if "loss" in entry]
    held_out = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert len(losses) == 40 // micro_batches
    np.testing.assert_allclose(run.curves.get(TRAIN_LOSS).values, losses, rtol=1e-4)
    # The host divides by the labels before they are shifted, of which eleven of twelve count.
    assert run.model_summary is not None
    assert run.model_summary.objectives[0].scale == pytest.approx(11 / 12, rel=1e-3)
    assert run.model_summary.objectives[0].reduction == "mean"
    np.testing.assert_allclose(run.curves.get(VAL_LOSS).values, held_out, rtol=1e-4)
