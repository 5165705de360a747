"""Histories as they are kept: one file for each run, with all that a replay needs to know of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.context import WorkflowInfo
from durable_core.events import EventRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from durable_core.ports import LoadedRun

# What differs from one recording of a story to the next, inside of stored text.
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?")
TRACEBACK = re.compile(r'"traceback":\s*"(?:[^"\\]|\\.)*"')
CHECKOUT = str(Path(__file__).resolve().parents[2])
DRAWN = re.compile(r"r:\[[^\]]*\]")


@dataclass(frozen=True)
class Recording:
    release: str
    run: dict[str, Any]  # the fields of WorkflowInfo, and how it ended
    history: list[EventRecord]

    @classmethod
    def of(cls, release: str, loaded: LoadedRun) -> Recording:
        record = loaded.record
        run = {
            "id": str(record.id),
            "workflow_name": record.workflow_name,
            "workflow_id": record.workflow_id,
            "parent_id": None if record.parent_id is None else str(record.parent_id),
            "queue": record.queue,
            "priority": record.priority,
            "created_at": record.created_at.isoformat(),
            "deadline": None if record.deadline is None else record.deadline.isoformat(),
            "status": record.status.value,
            "result": record.result,
            "error": record.error,
        }
        return cls(release, run, loaded.events)

    @classmethod
    def read(cls, file: Path) -> Recording:
        told = json.loads(file.read_text(encoding="ascii"))
        history = [
            EventRecord(seq, kind, call_id, details, datetime.fromisoformat(created_at))
            for seq, kind, call_id, details, created_at in told["history"]
        ]
        return cls(told["release"], told["run"], history)

    def write(self, file: Path) -> None:
        """JSON, an event in a line."""
        rows = ",\n".join(json.dumps([*record[:4], record.created_at.isoformat()]) for record in self.history)
        run = json.dumps(self.run, indent=1)
        text = f'{{"release": "{self.release}",\n"run": {run},\n"history": [\n{rows}\n]}}\n'
        file.write_text(placeless(text), encoding="ascii")

    @property
    def info(self) -> WorkflowInfo:
        run = self.run
        return WorkflowInfo(
            execution_id=UUID(run["id"]),
            workflow_name=run["workflow_name"],
            workflow_id=run["workflow_id"],
            parent_id=_if_there(UUID, run["parent_id"]),
            queue=run["queue"],
            priority=run["priority"],
            created_at=datetime.fromisoformat(run["created_at"]),
            deadline=_if_there(datetime.fromisoformat, run["deadline"]),
        )

    def scrubbed(self) -> list[str]:
        """What must be the same in every recording of the story, a line for each part."""
        lines = [f"{name}: {value}" for name, value in self.run.items()]
        lines += [f"{seq} {kind} {call_id} {details}" for seq, kind, call_id, details, _ in self.history]
        return _scrub(lines)


def placeless(recorded: str) -> str:
    """Without the folder that this project was recorded in, which stands in tracebacks."""
    return recorded.replace(CHECKOUT, "/srv/project")


def _if_there(make: Callable[[str], Any], text: str | None) -> Any:
    return None if text is None else make(text)


def _scrub(lines: Sequence[str]) -> list[str]:
    names: dict[str, str] = {}
    scrubbed = []
    for line in lines:
        line = ID.sub(lambda found: names.setdefault(found[0], f"<id {len(names) + 1}>"), line)
        line = TIME.sub("<time>", line)
        line = TRACEBACK.sub('"traceback":"<text>"', line)
        scrubbed.append(DRAWN.sub("<drawn>", line))
    return scrubbed
