"""A process that replays histories beside this one: with the same code, and hashes that are salted otherwise.

What depends on the order of a set, on an object's address or on anything else that one process has to itself comes out
differently there. Histories go to it as lines of JSON, and digests come back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from durable_core.engine import WorkflowInfo
from durable_core.errors import DurableError
from durable_core.events import EventRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from durable_core.audit.replaying import Code, History

READY = "durable audit peer"  # its first line; what the project prints while it is loaded comes before
SALT = "PYTHONHASHSEED"


class PeerProcess:
    """`Peer` in a child process, which runs `serve`. Use it as a context manager."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        salt = "1" if os.environ.get(SALT) == "0" else "0"
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {}), SALT: salt},
            encoding="utf-8",
        )
        self._is_ready = False

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()  # it holds nothing, and an error of ours need not wait for it
        self._process.communicate()

    def digests(self, histories: Sequence[History]) -> list[str]:
        said, heard = self._process.stdin, self._process.stdout
        assert said is not None
        assert heard is not None
        while not self._is_ready:
            self._is_ready = self._line(heard).rstrip() == READY
        try:
            for info, history in histories:
                said.write(_line_of(info, history))
            said.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return [json.loads(self._line(heard)) for _ in histories]

    def _line(self, heard: Iterable[str]) -> str:
        for line in heard:
            return line
        raise self._ended()

    def _ended(self) -> DurableError:
        return DurableError(
            f"The process that should replay histories a second time ended with code {self._process.wait()}; what it "
            "said stands above. Does the project load without an error?"
        )


def serve(code: Code, lines: Iterable[str], answers: TextIO) -> None:
    """Be the other side: a digest for each history, until there are no more."""
    print(READY, file=answers, flush=True)
    for line in lines:
        print(json.dumps(code.digest(*_read(line))), file=answers, flush=True)


def private_stdout() -> TextIO:
    """What stdout was; what anybody prints from now on goes to stderr, and comes between no answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(2, 1)
    return answers


def _line_of(info: WorkflowInfo, history: Sequence[EventRecord]) -> str:
    return json.dumps([asdict(info), list(map(tuple, history))], default=str) + "\n"


def _read(line: str) -> tuple[WorkflowInfo, list[EventRecord]]:
    fields: dict[str, Any]
    fields, events = json.loads(line)
    for name, read in _READERS.items():
        if fields[name] is not None:
            fields[name] = read(fields[name])
    history = [
        EventRecord(seq, kind, call, details, datetime.fromisoformat(at)) for seq, kind, call, details, at in events
    ]
    return WorkflowInfo(**fields), history


_READERS: dict[str, Callable[[str], object]] = {
    "execution_id": UUID,
    "parent_id": UUID,
    "created_at": datetime.fromisoformat,
    "deadline": datetime.fromisoformat,
}
