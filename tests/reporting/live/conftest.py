"""The live page served from a thread of the test, and a plain visitor to it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from babysit.reporting.live.access import AccessPolicy
from babysit.reporting.live.serving import bound, server_of


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Site(NamedTuple):
    port: int
    policy: AccessPolicy

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, *, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=names)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)

    def listen(self, path: str) -> http.client.HTTPResponse:
        """The answer of a stream of events, not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        return connection.getresponse()


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Serves a store; ends with the test, streams that are still open included."""
    running: list[tuple[Any, threading.Thread]] = []

    def served(url: object, **policy: str) -> Site:
        listening = bound("127.0.0.1", 0)
        site = Site(listening.getsockname()[1], AccessPolicy(**policy))
        server = server_of(str(url), site.policy)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return site

    yield served
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "the server does not end"
