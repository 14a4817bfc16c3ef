"""Contract tests of stores, for any database: a list of checks, each called with the address of an empty store.

@pytest.mark.parametrize("check", STORE_CONTRACT)
def test_the_store_keeps_the_contract(check, address_of_an_empty_store):
    check(address_of_an_empty_store)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from babysit.records.curves import TRAIN_LOSS, Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run, Status
from babysit.store.run_id import new_run_id
from babysit.store.store import Store
from babysit.testing.store_contract_hard import (
    a_kill_without_warning_loses_nothing_that_was_flushed,
    a_long_run_stays_within_its_bound,
    a_run_whose_process_ended_is_interrupted,
    an_id_that_could_be_a_path_is_refused,
    error_text,
    hostile_names_do_no_harm,
    processes_may_open_and_write_at_once,
    threads_may_write_at_once,
)
from babysit.testing.synthetic_runs import full_run, losses, same


def a_saved_run_comes_back_bit_for_bit(address: str) -> None:
    """Check that fields, dtypes, NaN and infinities survive, also in a second opening."""
    run = full_run(new_run_id())
    with Store(address) as store:
        store.save(run)
    with Store(address) as store:
        assert same(store.load(run.id), run)


def appended_rows_come_back_in_order(address: str) -> None:
    """Check that rows appended one by one equal rows appended together."""
    with Store(address) as store:
        writer = store.open_writer(Run(id=new_run_id()))
        for step in range(20):
            writer.append(curves=losses(step, step + 1))
            if step % 7 == 0:
                writer.flush()
        writer.close()
        stored = store.load(writer.run_id).curves.get(TRAIN_LOSS)
    expected = losses(0, 20).get(TRAIN_LOSS)
    assert np.array_equal(stored.steps, expected.steps)
    assert np.array_equal(stored.values, expected.values)
    assert writer.problems == ()


def a_layer_may_appear_later(address: str) -> None:
    """Check that layers and metrics of all pieces are merged; what was not measured is NaN."""
    with Store(address) as store:
        writer = store.open_writer(Run(id=new_run_id()))
        one = np.ones((1, 1), dtype="float32")
        writer.append(layer_metrics=LayerMetrics(layers=("a",), steps=np.array([0]), values={"zeros": one}))
        writer.flush()
        writer.append(
            layer_metrics=LayerMetrics(layers=("b",), steps=np.array([4]), values={"zeros": 2 * one, "dead": 3 * one})
        )
        writer.close()
        layer_metrics = store.load(writer.run_id).layer_metrics
    assert layer_metrics.layers == ("a", "b")
    assert layer_metrics.steps.tolist() == [0, 4]
    assert np.array_equal(layer_metrics.series("zeros", "a"), [1, np.nan], equal_nan=True)
    assert np.array_equal(layer_metrics.series("zeros", "b"), [np.nan, 2], equal_nan=True)
    assert np.array_equal(layer_metrics.series("dead", "b"), [np.nan, 3], equal_nan=True)
    assert layer_metrics.values["zeros"].dtype == np.float32


def a_field_takes_its_last_value(address: str) -> None:
    """Check that updates replace a field and leave the others."""
    run = full_run(new_run_id())
    with Store(address) as store:
        writer = store.open_writer(run)
        writer.update(stop_reason="first", result={"test/accuracy": 0.5})
        writer.flush()
        writer.update(stop_reason="second")
        writer.close()
        stored = store.load(run.id)
    assert same(stored, msgspec.structs.replace(run, stop_reason="second", result={"test/accuracy": 0.5}))


def a_resumed_run_has_each_step_once(address: str) -> None:
    """Check that after `rewind(step)` rows of later steps are gone and can be written again."""
    with Store(address) as store:
        writer = store.open_writer(Run(id=new_run_id()))
        writer.append(curves=losses(0, 10))
        writer.close()
        again = store.open_writer(store.load(writer.run_id))
        again.rewind(5)
        again.append(curves=losses(6, 12))
        again.close()
        stored = store.load(writer.run_id).curves.get(TRAIN_LOSS)
        summary = store.list()[0]
    assert stored.steps.tolist() == list(range(12))
    assert summary.steps == 12


def the_list_is_newest_first_and_says_what_happened(address: str) -> None:
    """Check the list of runs, which is built from columns alone."""
    with Store(address) as store:
        ids = [f"run-{number}" for number in (2, 1, 3)]
        for run_id in ids:
            store.save(full_run(run_id))
        store.save(Run(id="unjudged", curves=losses(0, 7)))
        lines = store.list()
        assert [line.id for line in lines] == ["unjudged", *reversed(ids)]
        assert [line.id for line in store.list(limit=2)] == ["unjudged", "run-3"]
    assert (lines[0].status, lines[0].verdict, lines[0].steps) == (Status.RUNNING, "inconclusive", 7)
    line = lines[1]
    assert (line.name, line.kind, line.status) == ("größer als 1 🙂", "fit", Status.FINISHED)
    assert (line.verdict, line.root_cause) == ("problems", "R301 lr-too-high")
    assert (line.metric_name, line.metric, line.steps) == ("test/accuracy", 0.25, 6)


def a_run_is_found_by_its_beginning(address: str) -> None:
    """Check that a unique prefix or `latest` finds a run, and that anything else is a clear error."""
    with Store(address) as store:
        assert "no run" in error_text(lambda: store.load("latest"))
        for run_id in ("amber", "amber-2", "birch_1", "birchx1"):
            store.save(Run(id=run_id, name=run_id))
        assert store.load("amber").name == "amber"
        assert store.load("birch_").name == "birch_1"
        assert store.load("latest").name == "birchx1"
        assert "amber, " in error_text(lambda: store.load("am")) or ", amber" in error_text(lambda: store.load("am"))
        assert "no run 'cedar'" in error_text(lambda: store.load("cedar"))
        assert "no run ''" in error_text(lambda: store.load(""))
        assert "no run 'Amber'" in error_text(lambda: store.load("Amber"))


def a_deleted_run_stays_deleted(address: str) -> None:
    """Check that a writer still running does not restore a deleted run."""
    with Store(address) as store:
        store.save(full_run("stays"))
        writer = store.open_writer(full_run("goes"))
        writer.append(curves=losses(3, 5))
        writer.flush()
        store.delete("goes")
        writer.append(curves=losses(5, 9))
        writer.update(stop_reason="done")
        writer.close()
        assert [line.id for line in store.list()] == ["stays"]
        assert same(store.load("stays"), full_run("stays"))
        assert "no run" in error_text(lambda: store.delete("goes"))
        store.save(Run(id="goes"))
        assert len(store.load("goes").curves.series) == 0


def tags_and_notes_stay(address: str) -> None:
    """Check that saving a run again does not change the user's tags and notes."""
    with Store(address) as store:
        store.save(full_run("tagged"))
        store.annotate("tagged", tags=["best", "paper", "best"], notes="for table 2")
        store.annotate("tagged", notes="for table 3")
        store.save(full_run("tagged"))
        line = store.list()[0]
    assert (line.tags, line.notes) == (("best", "paper"), "for table 3")


def saving_a_run_that_is_being_written_loses_nothing(address: str) -> None:
    """Check that a writer continues after the run is saved."""
    with Store(address) as store:
        writer = store.open_writer(Run(id="both"))
        writer.append(curves=losses(0, 3))
        store.save(Run(id="both", name="saved", curves=losses(0, 3)))
        writer.append(curves=losses(3, 5))
        writer.update(stop_reason="done")
        writer.close()
        run = store.load("both")
    assert (run.name, run.stop_reason) == ("saved", "done")
    assert run.curves.get(TRAIN_LOSS).steps.tolist() == [0, 1, 2, 3, 4]


def what_cannot_be_recorded_is_reported_and_the_rest_is_stored(address: str) -> None:
    """Check that an invalid value is dropped alone, and nothing is raised."""
    with Store(address) as store:
        writer = store.open_writer(Run(id="odd"))
        writer.append(curves=losses(0, 2))
        writer.append(curves=Curves(series={"broken": Series(np.arange(3), np.zeros(2))}))
        writer.append(layer_metrics=LayerMetrics(layers=("a",), steps=np.arange(2), values={"zeros": np.zeros((3, 1))}))
        writer.update(config={"lr": object()}, stop_reason="done", colour="red", model_summary="text", id="other")
        writer.append(curves=losses(2, 3))
        writer.close()
        writer.append(curves=losses(3, 4))
        run = store.load("odd")
    assert run.curves.get(TRAIN_LOSS).steps.tolist() == [0, 1, 2]
    assert (run.stop_reason, run.config, run.model_summary) == ("done", {}, None)
    problems = "\n".join(writer.problems)
    for name in ("broken", "zeros", "config", "colour", "model_summary", "id was", "after the end"):
        assert name in problems, name


def lone_surrogates_are_replaced(address: str) -> None:
    """Check that text that cannot be encoded is replaced, and the rest of the run is stored."""
    half, whole = "lone \ud800 surrogate", "lone ? surrogate"
    zeros = np.full((1, 1), 0.5, dtype="float32")
    layer_metrics = LayerMetrics(layers=(half,), steps=np.arange(1), values={"zeros": zeros})
    with Store(address) as store:
        store.save(Run(id="half", name=half, layer_metrics=layer_metrics, config={half: half}))
        writer = store.open_writer(Run(id="written", name=half))
        writer.append(layer_metrics=layer_metrics)
        writer.update(config={half: half})
        writer.close()
        assert writer.problems == ()
        for stored in (store.load("half"), store.load("written")):
            assert (stored.name, stored.layer_metrics.layers, stored.config) == (whole, (whole,), {whole: whole})
            assert stored.layer_metrics.series("zeros", whole).tolist() == [0.5]


STORE_CONTRACT: Final[tuple[Callable[[str], None], ...]] = (
    a_saved_run_comes_back_bit_for_bit,
    appended_rows_come_back_in_order,
    a_layer_may_appear_later,
    a_field_takes_its_last_value,
    a_resumed_run_has_each_step_once,
    the_list_is_newest_first_and_says_what_happened,
    a_run_is_found_by_its_beginning,
    a_deleted_run_stays_deleted,
    tags_and_notes_stay,
    saving_a_run_that_is_being_written_loses_nothing,
    what_cannot_be_recorded_is_reported_and_the_rest_is_stored,
    lone_surrogates_are_replaced,
    threads_may_write_at_once,
    processes_may_open_and_write_at_once,
    a_run_whose_process_ended_is_interrupted,
    a_kill_without_warning_loses_nothing_that_was_flushed,
    hostile_names_do_no_harm,
    an_id_that_could_be_a_path_is_refused,
    a_long_run_stays_within_its_bound,
)
