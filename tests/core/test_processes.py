"""The other processes of the contract: they say what went wrong, and none of them is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_core.ports import Claim, EntryKind, new_id
from durable_core.testing import Elsewhere
from durable_core.testing.contracts.queue_base import an_entry
from durable_core.testing.processes import Failed, Gone, QueueProcess
from tests.waiting import wait_until

IN_MEMORY = Elsewhere("durable_core.testing.plugin:_queue")
LIMITS = dict.fromkeys(EntryKind, 10)


@pytest.fixture
def other() -> Iterator[QueueProcess]:
    with QueueProcess.started(IN_MEMORY) as process:
        process.until_ready()
        yield process


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # where there is no /proc, the signal has said it


def test_entries_come_back_as_they_went(other: QueueProcess) -> None:
    entries = [an_entry(queue="é'\"\n", priority=-3, preferred=new_id()), an_entry(kind=EntryKind.ACTIVITY)]
    other.enqueue(entries)
    claims = other.claim(entries[0].preferred or new_id(), LIMITS, queues=(), exclude=())
    assert [(claim.entry, claim.deliveries) for claim in claims] == [(entry, 1) for entry in entries]
    other.complete(claims[:1])
    other.release(claims[1:])
    assert len(other.claim(new_id(), LIMITS, queues=(), exclude=())) == 1


def test_error_is_told_and_survived(other: QueueProcess) -> None:
    with pytest.raises(Failed, match="IndexError"):
        other.complete([Claim(an_entry(), 99, 1)])
    other.enqueue([an_entry()])


def test_factory_that_cannot_be_had_is_told() -> None:
    with QueueProcess.started(Elsewhere("json:no_such_queue")) as other, pytest.raises(Failed, match="no_such_queue"):
        other.until_ready()


def test_killed_process_is_gone(other: QueueProcess) -> None:
    other.kill()
    with pytest.raises(Gone):
        other.enqueue([an_entry()])


@pytest.mark.parametrize("killed", [(), ("parent",), ("child",)])
def test_nobody_is_left_behind(killed: tuple[str, ...]) -> None:
    with QueueProcess.started(IN_MEMORY) as parent:
        parent.until_ready()
        child = parent.fork()
        assert isinstance(child, QueueProcess)
        pids = {"parent": parent.pid, "child": child.pid}
        assert all(map(is_alive, pids.values()))
        for name in killed:
            {"parent": parent, "child": child}[name].kill()
    wait_until(lambda: not any(map(is_alive, pids.values())), "both to end")


def test_backends_in_memory_need_no_pytest() -> None:
    program = (
        "import sys, durable_core.testing\n"
        "assert 'pytest' not in sys.modules\n"
        "from durable_core.testing import TaskQueueContract, TransactionalQueueContract\n"
        "from durable_core.testing import HistoryStoreContract, ConcurrentStoreContract\n"
        "assert 'pytest' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_what_exists_is_offered() -> None:
    import durable_core.testing

    assert all(getattr(durable_core.testing, name) for name in durable_core.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchContract'"):
        _ = durable_core.testing.NoSuchContract
