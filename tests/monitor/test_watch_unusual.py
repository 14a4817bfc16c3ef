"""Mixed precision, compiled code, several processes, other people's hooks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


def model() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def gaps(run: Run) -> list[str]:
    return [event.detail for event in run.events.kept if event.kind == "measurement_gap"]


def test_a_scaled_loss_is_recorded_unscaled_and_gradients_as_the_optimizer_sees_them() -> None:
    runs = {}
    for scaled in (False, True):
        network = model()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=1024.0)
        with Monitor(network, optimizer) as watching:
            for _ in range(25):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(INPUTS), LABELS)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
        runs[scaled] = watching.run
    plain, scaled_run = runs[False], runs[True]
    np.testing.assert_allclose(
        scaled_run.curves.get("train/loss").values, plain.curves.get("train/loss").values, rtol=1e-5
    )
    np.testing.assert_allclose(
        scaled_run.layer_metrics.series("gradient_rms", "0"), plain.layer_metrics.series("gradient_rms", "0"), rtol=1e-4
    )
    assert scaled_run.model_summary is not None
    assert scaled_run.model_summary.objectives[0].loss == "cross_entropy"


def test_bfloat16_autocast_is_measured_close_to_float32() -> None:
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with Monitor(network, optimizer) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(network(INPUTS), LABELS)
            loss.backward()
            optimizer.step()
    run = watching.run
    expected = torch.relu(model()[0](INPUTS)).double().std(correction=0).item()
    assert run.layer_metrics.series("activation_std", "0")[0] == pytest.approx(expected, rel=0.01)
    assert not gaps(run)


def test_clipping_is_heard_with_the_norm_before_it() -> None:
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    norms = []
    with Monitor(network, optimizer) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(network(INPUTS), LABELS).backward()
            norms.append(nn.utils.clip_grad_norm_(network.parameters(), 0.01).item())
            optimizer.step()
    run = watching.run
    np.testing.assert_allclose(run.curves.get("gradient_norm").values, norms, rtol=1e-6)
    clipped = np.sqrt(
        sum((run.layer_metrics.series("gradient_rms", name)[0] ** 2) * count for name, count in (("0", 96), ("2", 48)))
    )
    assert clipped <= 0.0101


@pytest.mark.slow
def test_compiled_code_is_said_not_to_be_seen_and_is_not_compiled_again(tmp_path: Path) -> None:
    script = tmp_path / "compiled.py"
    script.write_text(
        textwrap.dedent("""
        import sys, torch, torch.nn as nn, torch.nn.functional as F
        from babysit.monitor.monitor import Monitor
        torch.manual_seed(0)
        watched = sys.argv[1] == "watched"
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        fast = torch.compile(model, backend="aot_eager")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        inputs = torch.randn(48, 6); labels = inputs[:, :3].argmax(1)
        watching = Monitor(fast, optimizer)
        if watched: watching.start()
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(fast(inputs), labels).backward()
            optimizer.step()
        run = watching.close()
        print(sum(p.double().sum().item() for p in model.parameters()).hex())
        from torch._dynamo.utils import counters
        print(counters["stats"]["unique_graphs"])
        if watched:
            import numpy as np
            print([layer.name for layer in run.model_summary.layers], run.model_summary.compiled, file=sys.stderr)
            print(np.isfinite(run.layer_metrics.series("update_ratio", "0")).all(), file=sys.stderr)
            print([e.detail for e in run.events.kept if e.kind == "measurement_gap"], file=sys.stderr)
            print([f.code for f in run.findings], file=sys.stderr)
    """)
    )
    outputs = [
        subprocess.run([sys.executable, script, how], capture_output=True, text=True, timeout=240, check=True)
        for how in ("plain", "watched")
    ]
    assert outputs[0].stdout == outputs[1].stdout  # the same weights, the same number of graphs
    assert "['0', '2'] True\nTrue\n" in outputs[1].stderr
    assert "activations inside compiled code cannot be seen" in outputs[1].stderr
    assert "T001" in outputs[1].stderr


@pytest.mark.slow
def test_two_processes_train_the_same_watched_or_not(tmp_path: Path) -> None:
    script = tmp_path / "ddp.py"
    script.write_text(
        textwrap.dedent("""
        import os, sys, torch, torch.nn as nn, torch.nn.functional as F
        import torch.distributed as dist, torch.multiprocessing as mp
        from torch.nn.parallel import DistributedDataParallel
        from babysit.monitor.monitor import Monitor
        def work(rank, folder):
            torch.set_num_threads(1)
            dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
            parallel = DistributedDataParallel(model)
            optimizer = torch.optim.Adam(parallel.parameters(), lr=0.01)
            inputs = torch.randn(96, 6)[rank::2]; labels = inputs[:, :3].argmax(1)
            watching = Monitor(parallel, optimizer)
            if sys.argv[1] == "watched": watching.start()
            for _ in range(40):
                optimizer.zero_grad()
                F.cross_entropy(parallel(inputs), labels).backward()
                gradient = model[0].weight.grad.double().pow(2).mean().sqrt().item()
                optimizer.step()
            run = watching.close()
            if rank == 0:
                print(sum(p.double().sum().item() for p in model.parameters()).hex())
                if sys.argv[1] == "watched":
                    losses = run.curves.get("train/loss")
                    print([layer.name for layer in run.model_summary.layers], len(losses), file=sys.stderr)
                    print([e.detail for e in run.events.kept if e.kind == "measurement_gap"], file=sys.stderr)
            dist.destroy_process_group()
        if __name__ == "__main__":
            mp.spawn(work, (sys.argv[2],), nprocs=2)
    """)
    )
    outputs = []
    for how in ("plain", "watched"):
        folder = tmp_path / how
        folder.mkdir()
        outputs.append(
            subprocess.run(
                [sys.executable, script, how, str(folder)],
                capture_output=True, text=True, timeout=240, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        )  # fmt: skip
    assert outputs[0].stdout == outputs[1].stdout
    assert "['0', '2'] 40\n[]" in outputs[1].stderr


def test_hooks_of_others_go_on_and_see_the_same() -> None:
    seen: dict[bool, list[float]] = {}
    for watched in (False, True):
        network = model()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        values = seen.setdefault(watched, [])
        network[0].register_forward_hook(lambda _m, _i, out, values=values: values.append(out.sum().item()))
        network[0].register_full_backward_hook(lambda _m, _i, out, values=values: values.append(out[0].sum().item()))
        network[2].weight.register_hook(lambda gradient, values=values: values.append(gradient.sum().item()))
        watching = Monitor(network, optimizer)
        if watched:
            watching.start()
        for _ in range(30):
            optimizer.zero_grad()
            F.cross_entropy(network(INPUTS), LABELS).backward()
            optimizer.step()
        watching.close()
    assert len(seen[True]) == 90
    assert seen[True] == seen[False]


def test_a_gradient_penalty_with_second_derivatives_trains_the_same() -> None:
    ends = []
    for watched in (False, True):
        network = nn.Sequential(model(), nn.Linear(3, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        watching = Monitor(network, optimizer)
        if watched:
            watching.start()
        for _ in range(15):
            optimizer.zero_grad()
            inputs = INPUTS.clone().requires_grad_()
            out = network(inputs)
            slope = torch.autograd.grad(out.sum(), inputs, create_graph=True)[0]
            (out.mean() + ((slope.norm(dim=1) - 1) ** 2).mean()).backward()
            optimizer.step()
        watching.close()
        ends.append([parameter.detach().numpy().tobytes() for parameter in network.parameters()])
    assert ends[0] == ends[1]


def test_a_statistic_that_raises_becomes_one_note_and_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from babysit.metrics import activations

    def broken(*_: object) -> None:
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(activations, "moments", broken)
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with Monitor(network, optimizer) as watching:
        for _ in range(30):
            optimizer.zero_grad()
            F.cross_entropy(network(INPUTS), LABELS).backward()
            optimizer.step()
    run = watching.run
    assert len(run.curves.get("train/loss")) == 30
    assert any("on purpose" in gap for gap in gaps(run))
    assert [finding.code for finding in run.findings].count("T001") == 1
