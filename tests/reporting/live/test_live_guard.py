"""Who the live page answers, and what it never does."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from urllib.parse import urlencode

import pytest

from babysit.reporting.live.access import AccessPolicy
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run, healthy_run, hostile_names_run

pytestmark = pytest.mark.drawing

TOKEN = "a-token-of-some-length"


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path)) as kept:
        kept.save(healthy_run())
    return tmp_path


def secret_in(page):
    return re.search(r'name="secret" value="([^"]+)"', page)[1]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8642", "LOCALHOST."])
def test_names_of_this_machine_are_answered(serve, store, host):
    assert serve(store).ask("/", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "10.0.0.1", "localhost.evil.example", "", "[", "a b"]
)
def test_other_names_are_not_answered_so_no_name_server_can_lead_a_browser_here(serve, store, host):
    answer = serve(store).ask("/", Host=host)
    assert answer.status == 421
    assert "digits" not in answer.text


def test_beyond_the_loopback_address_bare_addresses_and_the_own_name_are_answered_and_others_are_not():
    policy = AccessPolicy("0.0.0.0", TOKEN)
    assert policy.accepts_host("192.168.1.7:8642")
    assert policy.accepts_host("localhost:8642")
    assert not policy.accepts_host("evil.example")
    assert AccessPolicy("train.lab", TOKEN).accepts_host("train.lab:80")


def test_every_answer_forbids_scripts_and_sources_from_elsewhere(serve, store):
    site = serve(store)
    for path in ("/", "/run?id=latest", "/nothing", "/assets/live.js", "/report?id=latest"):
        headers = site.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_without_the_token_nothing_is_shown(serve, store):
    site = serve(store, token=TOKEN)
    for path in ("/", "/run?id=latest", "/events/runs", "/assets/live.js", "/?token=wrong", "/?token="):
        answer = site.ask(path)
        assert answer.status == 401
        assert "digits" not in answer.text
    assert site.ask("/", Cookie=f"babysit_{site.port}={TOKEN}").status == 401, "the cookie is not the token itself"


def test_the_token_opens_the_door_once_leaves_the_address_and_the_cookie_keeps_it_open(serve, store):
    site = serve(store, token=TOKEN)
    answer = site.ask(f"/?text=x&token={TOKEN}&status=live")
    assert (answer.status, answer.headers["location"]) == (303, "/?text=x&status=live")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert TOKEN not in cookie
    assert site.ask("/", Cookie=cookie.split(";")[0]).status == 200
    assert site.ask("/", Authorization=f"Bearer {TOKEN}").status == 200


def test_the_door_leads_to_no_other_machine(serve, store):
    location = serve(store, token=TOKEN).ask(f"//evil.example/?token={TOKEN}").headers["location"]
    assert location.startswith("/")
    assert not location.startswith("//")


def test_notes_and_tags_are_written_from_our_own_form(serve, store):
    site = serve(store)
    page = site.ask("/run?id=latest").text
    form = {
        "secret": secret_in(page),
        "id": healthy_run().id,
        "notes": "one\r\n<b>two</b>",
        "tags": "good, for paper,good",
    }
    answer = site.ask(
        "/annotate", method="POST", body=urlencode(form), Origin=site.address, Sec_Fetch_Site="same-origin"
    )
    assert answer.status == 303
    with Store(str(store)) as kept:
        summary, _ = kept.glance("latest")
    assert (summary.tags, summary.notes) == (("good", "for paper"), "one\n<b>two</b>")
    assert "one\n&lt;b&gt;two&lt;/b&gt;</textarea>" in site.ask(answer.headers["location"].split("#")[0]).text


@pytest.mark.parametrize(
    ("headers", "secret", "status"),
    [
        ({"Origin": "http://evil.example"}, None, 403),
        ({"Origin": "null"}, None, 403),
        ({"Sec_Fetch_Site": "cross-site"}, None, 403),
        ({"Sec_Fetch_Site": "same-site"}, None, 403),
        ({}, "", 403),
        ({}, "guessed", 403),
        ({}, "größer", 403),
    ],
)
def test_nothing_is_written_from_elsewhere(serve, store, headers, secret, status):
    site = serve(store)
    given = site.policy.secret if secret is None else secret
    form = {"secret": given, "id": healthy_run().id, "notes": "written by a stranger"}
    assert site.ask("/annotate", method="POST", body=urlencode(form), **headers).status == status
    with Store(str(store)) as kept:
        assert kept.glance("latest")[0].notes == ""


@pytest.mark.parametrize("letter", ["層", "🙂"])
def test_a_long_note_in_any_script_is_kept_whole(serve, store, letter):
    site = serve(store)
    tags = [f"{number}{'層' * 98}" for number in range(10, 30)]
    form = {"secret": site.policy.secret, "id": healthy_run().id, "notes": letter * 10_000, "tags": ",".join(tags)}
    assert site.ask("/annotate", method="POST", body=urlencode(form)).status == 303
    with Store(str(store)) as kept:
        summary = kept.glance("latest")[0]
    assert (summary.notes, summary.tags) == (letter * 10_000, tuple(tags))


def test_a_tag_that_is_too_long_is_refused_and_not_cut(serve, store):
    site = serve(store)
    form = {"secret": site.policy.secret, "id": healthy_run().id, "notes": "", "tags": "x" * 101}
    answer = site.ask("/annotate", method="POST", body=urlencode(form))
    assert answer.status == 400
    assert "is not a valid tag" in answer.text
    with Store(str(store)) as kept:
        assert kept.glance("latest")[0].tags == ()


def test_a_note_without_end_is_refused(serve, store):
    site = serve(store)
    form = {"secret": site.policy.secret, "id": healthy_run().id, "notes": "x" * 50_000}
    assert site.ask("/annotate", method="POST", body=urlencode(form)).status == 413
    form["notes"] = "x" * 500_000
    assert site.ask("/annotate", method="POST", body=urlencode(form)).status == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_pages_are_only_read(serve, store, method):
    assert serve(store).ask("/run?id=latest", method=method, body="").status == 405


def test_hostile_names_stay_text_wherever_they_are_shown(serve, tmp_path):
    run = hostile_names_run()
    with Store(str(tmp_path)) as kept:
        kept.save(run)
        kept.annotate(run.id, tags=["<img src=x onerror=alert(1)>"], notes="</textarea><script>alert(1)</script>")
    site = serve(tmp_path)
    for path in ("/", f"/run?id={run.id}", "/?text=%3Cscript%3Ealert(1)", "/run?id=%3Cscript%3Ealert(1)%3C/script%3E"):
        page = site.ask(path).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert len(page) < 100_000
    report = site.ask(f"/report?id={run.id}")
    assert report.headers["content-disposition"] == f'attachment; filename="babysit-{run.id}.html"'


@pytest.mark.parametrize(
    ("column", "value"), [("tags", "{not json"), ("status", "zzz"), ("name", b"\xff"), ("steps", "x")]
)
def test_one_damaged_run_takes_no_page_but_its_own(tmp_path, serve, column, value):
    with Store(str(tmp_path)) as store:
        store.save(full_run("damaged"))
        store.save(full_run("whole"))
    with closing(sqlite3.connect(tmp_path / "babysit.sqlite")) as connection:
        connection.execute(f"UPDATE runs SET {column} = ? WHERE id = 'damaged'", (value,))
        connection.commit()
    site = serve(tmp_path)
    page = site.ask("/")
    assert page.status == 200
    assert "unreadable" in page.text
    assert "cannot be read" in page.text
    assert site.ask("/run?id=whole").status == 200
    for address in (
        "/run?id=damaged",
        "/compare?run=whole&run=damaged",
        "/events/run?id=damaged",
    ):
        answer = site.ask(address)
        assert (answer.status, "Traceback" in answer.text) == (422, False), address
        assert "damaged" in answer.text
    assert site.ask("/report?id=damaged").status in (200, 422)  # what is damaged may not stand in the report


def test_what_cannot_be_drawn_of_a_run_is_told_on_its_page(tmp_path, serve, monkeypatch):
    def fails(*_: object) -> None:
        raise ZeroDivisionError("in the middle of it")

    with Store(str(tmp_path)) as store:
        store.save(full_run("a"))
    monkeypatch.setattr("babysit.reporting.live.fragments.tiles", fails)
    answer = serve(tmp_path).ask("/run?id=a")
    assert answer.status == 422
    assert "internal error: ZeroDivisionError" in answer.text
