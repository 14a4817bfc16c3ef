"""Files with bytes changed, cut off or put in: read, or refused in one line, never anything else."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from babysit.data.sources import load_data
from babysit.records.errors import UserError

ROWS = np.random.default_rng(0).normal(size=(30, 3))
LABELS = np.arange(30) % 2


def _archive() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=ROWS, y=LABELS)
    return buffer.getvalue()


def _csv() -> bytes:
    return ("a,b,y\n" + "".join(f"{row[0]},{'rgb'[n % 3]},{LABELS[n]}\n" for n, row in enumerate(ROWS))).encode()


def _parquet() -> bytes:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    buffer = io.BytesIO()
    parquet.write_table(arrow.table({"a": ROWS[:, 0], "y": [str(label) for label in LABELS]}), buffer)
    return buffer.getvalue()


def _image(kind: str) -> bytes:
    image_module = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image_module.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


WHOLE = {
    ".npz": _archive,
    ".csv": _csv,
    ".parquet": _parquet,
    ".png": lambda: _image("png"),
    ".jpg": lambda: _image("jpeg"),
}

# Where (as a share of the file), how many bytes are taken out, and what is put in instead.
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.integers(0, 20), st.just(10**6)), st.binary(max_size=20)),
    min_size=1,
    max_size=4,
)


def _damaged(content: bytes, damage: list[tuple[float, int, bytes]]) -> bytes:
    for share, taken, put in damage:
        place = int(share * len(content))
        content = content[:place] + put + content[place + taken :]
    return content


def _written(folder, ending, content, whole):
    if ending in {".png", ".jpg"}:
        for name, values in (("good", whole), ("bad", content)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"1{ending}").write_bytes(values)
        return folder, None
    (folder / f"data{ending}").write_bytes(content)
    return folder / f"data{ending}", "y"


def _outcome(source, target):
    try:
        return load_data(source, target=target)
    except UserError as refusal:
        return refusal


@pytest.mark.parametrize("ending", WHOLE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=DAMAGE)
def test_a_damaged_file_is_read_or_refused_in_one_line(ending, damage, tmp_path):
    whole = WHOLE[ending]()
    source, target = _written(tmp_path, ending, _damaged(whole, damage), whole)
    outcome = _outcome(source, target)
    if isinstance(outcome, UserError):
        assert len(str(outcome).splitlines()) == 1
        assert len(str(outcome)) < 2500
    else:
        assert np.isfinite(outcome.x.numpy()).all()
        assert len(outcome) == len(outcome.y) > 0


@pytest.mark.parametrize("ending", WHOLE)
def test_the_same_file_without_damage_is_read(ending, tmp_path):
    whole = WHOLE[ending]()
    source, target = _written(tmp_path, ending, whole, whole)
    assert len(load_data(source, target=target)) in {2, 30}
