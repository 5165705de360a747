"""Where texts go that are too long for a row. What is there is named by what is in it, and never changes.

An object is written before the transaction that names it commits. Whoever throws away what no row names must therefore
leave alone what was put there lately, and what was put there again: `discard` says since when nobody has.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from durable_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = re.compile(r"[0-9a-f]{64}")


@runtime_checkable
class PayloadStore(Protocol):
    """One for the whole process, used from many threads. Keys are 64 hexadecimal digits, the SHA-256 of the data.

    Raises `OSError` where it cannot be reached.
    """

    def put(self, key: str, data: bytes) -> None:
        """Once this returns, *data* survives a power cut. Where it is there already, it counts as put there now."""

    def get(self, key: str) -> bytes | None:
        """None: it is not there."""

    def put_before(self, moment: datetime) -> Iterator[str]:
        """Keys of what nobody has put there since *moment*; in any order, and some may be missing."""

    def discard(self, key: str, moment: datetime) -> bool:
        """Throw it away, unless somebody has put it there since *moment*, or does so at this moment."""


class FilePayloadStore:
    """Files below *directory*, on a disk that web processes and all workers have in common."""

    def __init__(self, *, directory: str | Path) -> None:
        if not Path(directory).is_absolute():
            raise ConfigurationError(
                f"FilePayloadStore got directory={directory!r}; expected an absolute path, to what all processes share."
            )
        self._directory = Path(directory)

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with suppress(FileNotFoundError):
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix="new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        for folder in (path.parent, self._directory):  # or a power cut could take the names away
            _sync(folder)

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        for found in (path, _aside(path), path):  # one that is just being looked at by `discard` is back in a moment
            with suppress(FileNotFoundError):
                return found.read_bytes()
        return None

    def put_before(self, moment: datetime) -> Iterator[str]:
        if not self._directory.is_dir():
            return
        for path in self._directory.glob("??/*"):
            name = path.name.removesuffix(ASIDE)
            if path.name.startswith("new-"):
                _remove_if_old(path, moment)  # whoever began to write it has died over it
            elif KEY.fullmatch(name) and (changed := _changed(path)) is not None and changed < moment:
                yield name

    def discard(self, key: str, moment: datetime) -> bool:
        """Put aside first: from then on, whoever puts it there again writes it anew, and does not touch this file."""
        path = self._path(key)
        aside = _aside(path)
        with suppress(FileNotFoundError):
            path.rename(aside)
        changed = _changed(aside)
        if changed is None:
            return False
        if changed >= moment:
            aside.rename(path)  # the same, if somebody has written it anew
            return False
        aside.unlink(missing_ok=True)
        return True

    def _path(self, key: str) -> Path:
        assert KEY.fullmatch(key), "a key names a file: it must be ours"
        return self._directory / key[:2] / key


ASIDE = ".aside"


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ASIDE)


def _changed(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _remove_if_old(path: Path, moment: datetime) -> None:
    changed = _changed(path)
    if changed is not None and changed < moment:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
