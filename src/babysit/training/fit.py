"""Watched training loop with seeded batches, early stopping and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

import torch
from torch import Tensor, nn

from babysit.data.batches import batch_bounds, batches
from babysit.data.profile import profile
from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.experiments.compatibility import check_compatible
from babysit.experiments.isolation import preserve_random_states, seed_everything
from babysit.experiments.optimizers import make_optimizer
from babysit.monitor.monitor import Monitor
from babysit.monitor.recorder import RunWriter
from babysit.nn.losses import loss_for
from babysit.records.curves import VAL_LOSS
from babysit.records.errors import UserError
from babysit.records.model_summary import Task
from babysit.records.run import Run, Status
from babysit.training.checkpoint import Checkpoints, read_checkpoint
from babysit.training.device import make_fabric
from babysit.training.early_stopping import observe, reason_to_stop
from babysit.training.evaluate import Scores, evaluate
from babysit.training.not_finite import NotFinite, explain, require_finite
from babysit.training.settings import FitSettings
from babysit.training.state import TrainingState, digest, fixed_subset

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from rich.progress import Progress


class FitWriter(RunWriter, Protocol):
    """Writer of one run during training, such as store.writer.Writer."""

    run_id: str


@final
class FitResult(NamedTuple):
    """The judged run, the model with its best weights, and the checkpoint if one was written."""

    run: Run
    model: nn.Module
    checkpoint: Path | None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Loop:
    """State shared by the parts of the loop."""

    fabric: Fabric
    network: Callable[[Tensor], Tensor]  # the model as Fabric calls it, in the chosen precision
    optimizer: Any  # the optimizer as Fabric steps it
    state: TrainingState
    splits: Splits
    mirror: Samples  # as many training samples as validation samples, scored in the same way
    watch: Monitor
    tick: Callable[[str], None]


def fit(
    model: nn.Module,
    splits: Splits,
    *,
    settings: FitSettings = FitSettings(),  # noqa: B008  frozen, so it is safe to share
    writer: FitWriter | None = None,
    progress: Progress | None = None,
    resume: Path | None = None,
) -> FitResult:
    """Train the model under watch until it stops improving; it ends in eval mode with its best weights.

    Training stops after `settings.epochs`, by early stopping on the validation score or the gap (early_stopping.py),
    or when the loss is not finite. Ctrl-C ends it with status `interrupted` and the best weights so far; `resume` (a
    checkpoint or its folder) continues it and reaches, to the bit, the weights of an uninterrupted training.

    Raises:
        UserError: model and samples do not match, the device is not available, the checkpoint belongs to another
            training, or the checkpoint folder cannot be written.
    """
    if len(splits.validation) == 0:
        raise UserError("there are no validation samples", do="Split some off: early stopping needs them")
    check_compatible(model, splits.train)
    with preserve_random_states():
        seed_everything(settings.seed)
        fabric = make_fabric(settings)
        optimizer = make_optimizer(settings.optimizer, model, lr=settings.lr, weight_decay=settings.weight_decay)
        network, stepper = fabric.setup(model, optimizer)
        state = TrainingState(
            model=model,
            optimizer=optimizer,
            precision=fabric.strategy.precision,
            settings=settings,
            data=digest(splits),
        )
        state.keep_best()
        if resume is not None:
            state.load(read_checkpoint(resume), where=str(resume))
        checkpoints = Checkpoints(settings.folder)
        checkpoints.begin(state.capture())
        with Monitor(model, optimizer, writer=writer) as w:
            if writer is not None:
                w.note(id=writer.run_id)
            loop = _Loop(
                fabric=fabric,
                network=network,
                optimizer=stepper,
                state=state,
                splits=splits,
                mirror=fixed_subset(splits.train, count=len(splits.validation), seed=settings.seed),
                watch=w,
                tick=_ticker(progress, state, splits),
            )
            run = _watched(loop, checkpoints)
    return FitResult(run, model, checkpoints.path)


def _watched(loop: _Loop, checkpoints: Checkpoints) -> Run:
    """Train until any end, restore the best weights and close the run."""
    state, start, status = loop.state, perf_counter(), Status.FINISHED
    loop.watch.note(kind="fit", config=_config(loop), data=profile(loop.splits))
    try:
        reason = _train(loop, checkpoints)
    except NotFinite as problem:
        reason = explain(problem, state, loop.splits)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        reason = f"interrupted in epoch {state.epoch + 1}, after step {state.step}"
    state.model.load_state_dict(state.best)
    state.model.eval()
    result = _result(loop, complete=status is Status.FINISHED) | {"seconds": perf_counter() - start}
    artifacts = {} if checkpoints.path is None else {"checkpoint": str(checkpoints.path)}
    loop.watch.note(stop_reason=reason, result=result, artifacts=artifacts)
    return loop.watch.close(status=status)


def _train(loop: _Loop, checkpoints: Checkpoints) -> str:
    """Train epochs until a stopping criterion holds; return the reason."""
    state, settings = loop.state, loop.state.settings
    while state.epoch < settings.epochs:
        reason = reason_to_stop(state.stopping, patience=settings.patience, gap_patience=settings.gap_patience)
        if reason:
            return reason
        _train_epoch(loop)
        _score_epoch(loop)
        last = state.epoch == settings.epochs
        checkpoints.keep(state.capture, now=last)
    return f"all {settings.epochs} epochs are done; best was epoch {state.stopping.best_epoch}"


def _train_epoch(loop: _Loop) -> None:
    state, settings = loop.state, loop.state.settings
    measure = loss_for(loop.splits.train.task)
    # Reading a loss waits for the accelerator, so there 16 are read at a time.
    unread, most_unread = [], 1 if loop.fabric.device.type == "cpu" else 16
    state.model.train()
    for batch in batches(loop.splits.train, size=settings.batch_size, seed=settings.seed, epoch=state.epoch):
        x, y = loop.fabric.to_device(batch)
        loop.optimizer.zero_grad()
        loss = measure(loop.network(x), y)
        loop.fabric.backward(loss)
        loop.optimizer.step()
        state.step += 1
        unread.append(loss.detach())
        if len(unread) == most_unread:
            require_finite(unread, last_step=state.step)
            unread.clear()
        loop.tick("")
    require_finite(unread, last_step=state.step)


def _score_epoch(loop: _Loop) -> None:
    """Score training and validation samples after an epoch, and keep the weights if they are the best."""
    state = loop.state
    validation = _scores(loop, loop.splits.validation)
    train = _scores(loop, loop.mirror)
    require_finite([torch.tensor(validation.loss)], last_step=state.step, of="validation loss")
    last = loop.watch.steps - 1  # steps count from 0, and scores belong to the last one finished
    loop.watch.log(VAL_LOSS, validation.loss, step=last)
    loop.watch.log(f"val/{validation.name}", validation.value, step=last)
    loop.watch.log(f"train/{train.name}", train.value, step=last)
    state.stopping = observe(
        state.stopping, score=validation.value, validation_loss=validation.loss, train_loss=train.loss
    )
    if state.stopping.improved:
        state.keep_best()
    loop.tick(f"Training: val/{validation.name} {state.stopping.best_score:.3f}")


def _scores(loop: _Loop, samples: Samples) -> Scores:
    return evaluate(loop.state.model, samples, network=loop.network)


def _result(loop: _Loop, *, complete: bool) -> dict[str, float]:
    """Score the best weights; training and test samples only after a complete training."""
    state, stopping = loop.state, loop.state.stopping
    result = {"steps": float(state.step), "epochs": float(state.epoch)}
    if stopping.best_epoch:
        name = "accuracy" if loop.splits.train.task is not Task.REGRESSION else "r2"
        result |= {f"val/{name}": stopping.best_score, "val/loss": stopping.best_loss}
        result |= {"best_epoch": float(stopping.best_epoch), "best_step": float(state.best_step)}
    scored = {"train": loop.mirror, "test": loop.splits.test} if complete else {}
    for split, samples in scored.items():
        if len(samples):
            scores = _scores(loop, samples)
            result |= {f"{split}/{scores.name}": scores.value, f"{split}/loss": scores.loss}
    return result


def _config(loop: _Loop) -> dict[str, float | int | str | bool]:
    resumed = {"resumed_at_step": loop.state.step} if loop.state.step else {}
    return {**loop.state.settings.plain(), "device": str(loop.fabric.device), **resumed}


def _ticker(progress: Progress | None, state: TrainingState, splits: Splits) -> Callable[[str], None]:
    """Return a callback that advances the progress bar, or sets its description if given one."""
    if progress is None:
        return lambda description: None
    per_epoch = len(batch_bounds(len(splits.train), state.settings.batch_size))
    bar = progress.add_task("Training", total=state.settings.epochs * per_epoch, completed=state.epoch * per_epoch)

    def tick(description: str) -> None:
        if description:
            progress.update(bar, description=description)
        else:
            progress.advance(bar)

    return tick
