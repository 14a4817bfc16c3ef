"""Report of a run in any format."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Final

from babysit.records.errors import UserError
from babysit.records.run import Run

FORMATS: Final = ("html", "text", "json", "md", "sarif")
_BY_ENDING: Final = {".html": "html", ".htm": "html", ".txt": "text", ".json": "json", ".md": "md", ".sarif": "sarif"}

# By name, so that only the packages of the requested format are imported.
_WRITERS: Final = {
    "html": ("html", "html"),
    "text": ("text", "text"),
    "json": ("json_format", "as_json"),
    "md": ("markdown", "markdown"),
    "sarif": ("sarif", "sarif"),
}


def report(run: Run, *, format: str = "html") -> str:
    """Return the report as html (an offline page), text, json, md (Markdown) or sarif; UserError for other formats."""
    if not isinstance(run, Run):
        raise UserError(f"a report needs a Run, not {type(run).__name__}", do="Pass w.run, or store.load(id)")
    if format in _WRITERS:
        module, function = _WRITERS[format]
        written: str = getattr(import_module(f"babysit.reporting.{module}"), function)(run)
        return written
    raise UserError(f"there is no report format {format!r}", do=f"Choose one of {', '.join(FORMATS)}")


def write_report(run: Run, path: Path | str) -> Path:
    """Write the report atomically; the suffix selects the format (.html, .txt, .json, .md, .sarif)."""
    path = Path(path)
    if path.suffix.lower() not in _BY_ENDING:
        raise UserError(
            f"there is no report format for {path.suffix or 'a file without suffix'!r}",
            where=str(path),
            do="Use the suffix .html, .txt, .json, .md or .sarif",
        )
    content = report(run, format=_BY_ENDING[path.suffix.lower()]).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Write a temporary file first: a full disk or Ctrl-C leaves an existing report intact.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.close()
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as problem:
        raise UserError(f"the report cannot be written: {problem.strerror}", where=str(path)) from problem
    return path


def _umask() -> int:
    # The mask can only be read by setting it. Temporary files are private; a report gets the usual permissions.
    mask = os.umask(0)
    os.umask(mask)
    return mask
