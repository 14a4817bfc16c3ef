"""What went wrong on the user's side, in words that help: what, where, and what to do."""

from __future__ import annotations

from babysit.records.secrets import redact_addresses


class UserError(Exception):
    """A mistake that the user can mend: shown as one clear line and exit code 2, never as a traceback.

    Args:
        what: what is wrong, as a plain sentence without a full stop.
        where: the file, column, layer or option at fault, or "" when `what` says it.
        do: what to do now.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        # Addresses stand in messages of databases and libraries, and messages are logged and copied.
        self.what, self.where, self.do = (redact_addresses(text) for text in (what, where, do))
        super().__init__(self.what, self.where, self.do)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        recommendation = f". {self.do}" if self.do else ""
        return f"{self.what}{place}{recommendation}"
