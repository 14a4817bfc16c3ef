"""Device and precision, through Lightning Fabric."""

from __future__ import annotations

import logging
import warnings

import torch
from lightning_fabric import Fabric

from babysit.records.errors import UserError
from babysit.training.settings import FitSettings


def make_fabric(settings: FitSettings) -> Fabric:
    """Create Fabric for one device. Raises UserError if the device is missing or does not support the precision."""
    kind, _, number = settings.device.partition(":")
    if kind not in {"auto", "cpu", "cuda", "mps"} or (number and not number.isdigit()):
        raise UserError(f"there is no device {settings.device!r}", do="Use auto, cpu, cuda, cuda:1 or mps")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(
            f"the device {settings.device!r} is not available ({torch.cuda.device_count()} CUDA devices found)",
            do="Use auto or cpu",
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # silences a message for each choice
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning_fabric")
            return Fabric(
                accelerator=kind,
                devices=[int(number)] if number else 1,
                precision=settings.precision,  # type: ignore[arg-type]  # a plain string, checked in the settings
            )
    except (RuntimeError, ValueError) as problem:
        raise UserError(
            f"this machine cannot train on {settings.device!r} with precision {settings.precision!r}: {problem}",
            do="Use device auto and precision 32-true",
        ) from problem
