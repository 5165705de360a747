"""The whole proof that the toy is a queue: `python -m pytest` in this folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from toy_queue import ToyQueue

from durable_core.testing import Elsewhere, TaskQueueContract


class TestToyQueue(TaskQueueContract):
    lease = 1.0  # seconds, since this queue runs on real time
    preference = 0.5

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def options(self) -> dict[str, Any]:
        return {"path": str(self.folder / "queue"), "lease": self.lease, "preference": self.preference}

    def make_queue(self) -> ToyQueue:
        return ToyQueue(**self.options())

    def elsewhere(self) -> Elsewhere:
        return Elsewhere("toy_queue:ToyQueue", self.options())

    def make_queue_without_server(self) -> ToyQueue:
        (self.folder / "file").touch()
        return ToyQueue(str(self.folder / "file" / "queue"))

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)
