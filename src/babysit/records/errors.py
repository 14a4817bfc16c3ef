"""User errors: message, location and hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babysit.records.secrets import redact_addresses

if TYPE_CHECKING:
    from babysit.records.finding import Finding


class UserError(Exception):
    """An error that the user can fix: shown as one line with exit code 2, never as a traceback.

    Args:
        what: the message, a plain sentence without a full stop.
        where: the file, column, layer or option concerned, or "" if `what` names it.
        do: a hint how to fix it.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        # Messages of databases and libraries contain addresses with passwords, and messages are logged and copied.
        self.what, self.where, self.do = (redact_addresses(text) for text in (what, where, do))
        super().__init__(self.what, self.where, self.do)

    def __str__(self) -> str:
        location = f" ({self.where})" if self.where else ""
        hint = f". {self.do}" if self.do else ""
        return f"{self.what}{location}{hint}"


class NotFoundError(UserError):
    """What the user named does not exist."""


class InvalidRequestError(UserError):
    """What the user asked for is ambiguous or cannot be done; the store itself works."""


class ProblemFound(Exception):  # noqa: N818  as StopIteration, it ends a loop on request
    """Raised into a training that asked to be stopped by a finding: `watch(raise_on="ERROR")`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.code} {finding.name}: {finding.message}")
        self.finding = finding
