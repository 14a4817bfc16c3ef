"""Figures as files."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

import pytest

from babysit.plots import search_importance
from babysit.plots.save import save, svg
from babysit.records.errors import UserError
from babysit.testing import synthetic_runs


@pytest.fixture(scope="module")
def figure():
    return search_importance.draw(search_importance.numbers(synthetic_runs.search_run()))


@pytest.mark.drawing
def test_a_png_has_the_width_asked_for(figure, tmp_path):
    content = save(figure, tmp_path / "new" / "figure.png", title="Search", scale=1.0).read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert 900 <= width <= 1100
    assert height > 60


@pytest.mark.drawing
def test_an_svg_is_well_formed_and_its_ink_follows_the_background(figure, tmp_path):
    path = save(figure, tmp_path / "figure.svg", title="<b> & 'quotes'", dark=True)
    written = path.read_text()
    ElementTree.fromstring(written)
    assert "currentColor" not in written
    assert "#e6e6e6" in written
    assert "#1f2328" in svg(figure)


def test_another_ending_is_refused_with_what_works(figure, tmp_path):
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        save(figure, tmp_path / "figure.pdf")


def test_a_place_that_cannot_be_written_is_one_clear_line(figure, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save(figure, tmp_path / "file" / "figure.svg")
