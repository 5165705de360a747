"""Files of payloads: written whole or not at all, and thrown away only when nobody can want them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from durable_core.errors import ConfigurationError
from durable_core.sealing import FilePayloadStore

DATA = b"long"
KEY = sha256(DATA).hexdigest()
HOUR = timedelta(hours=1)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def grow_old(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - HOUR


def test_what_was_put_is_there(tmp_path: Path) -> None:
    store = FilePayloadStore(directory=tmp_path)
    assert store.get(KEY) is None
    for _ in range(2):
        store.put(KEY, DATA)
        assert store.get(KEY) == DATA
    assert files(tmp_path) == [KEY]
    assert FilePayloadStore(directory=str(tmp_path)).get(KEY) == DATA


def test_it_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[list[str], bytes]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((files(tmp_path), os.pread(handle, 9, 0))))
    monkeypatch.setattr("durable_core.sealing.payload_store._sync", lambda folder: synced.append((files(folder), b"")))
    FilePayloadStore(directory=tmp_path).put(KEY, DATA)
    [(before, written), (after, _), _] = synced
    assert (written, KEY in before, KEY in after) == (DATA, False, True)


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        FilePayloadStore(directory=tmp_path).put(KEY, DATA)
    assert files(tmp_path) == []


def test_old_ones_are_found_and_thrown_away(tmp_path: Path) -> None:
    store = FilePayloadStore(directory=tmp_path)
    store.put(KEY, DATA)
    assert list(store.put_before(an_hour_ago())) == []
    assert not store.discard(KEY, an_hour_ago())
    grow_old(tmp_path)
    assert list(store.put_before(an_hour_ago())) == [KEY]
    assert store.discard(KEY, an_hour_ago())
    assert (files(tmp_path), store.get(KEY), store.discard(KEY, an_hour_ago())) == ([], None, False)


def test_what_was_put_there_again_counts_as_new(tmp_path: Path) -> None:
    store = FilePayloadStore(directory=tmp_path)
    store.put(KEY, DATA)
    grow_old(tmp_path)
    [old] = store.put_before(an_hour_ago())
    store.put(KEY, DATA)  # by a transaction that has not committed yet, behind the look and before the broom
    assert not store.discard(old, an_hour_ago())
    assert store.get(KEY) == DATA


def test_what_is_put_there_while_it_is_thrown_away_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilePayloadStore(directory=tmp_path)
    store.put(KEY, DATA)
    grow_old(tmp_path)
    rename = Path.rename
    seen: list[bytes | None] = []

    def put_in_between(path: Path, target: Path) -> Any:
        rename(path, target)
        if path.name == KEY:
            monkeypatch.setattr(Path, "rename", rename)
            seen.append(store.get(KEY))
            store.put(KEY, DATA)

    monkeypatch.setattr(Path, "rename", put_in_between)
    store.discard(KEY, an_hour_ago())
    assert seen == [DATA]
    assert (store.get(KEY), files(tmp_path)) == (DATA, [KEY])


def test_putting_and_throwing_away_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    store = FilePayloadStore(directory=tmp_path)
    lost = []

    def use(number: int) -> None:
        for _ in range(50):
            store.put(KEY, DATA)
            if store.get(KEY) is None:
                lost.append(number)

    def sweep(number: int) -> None:
        for _ in range(50):
            store.discard(KEY, an_hour_ago())

    with ThreadPoolExecutor(4) as pool:
        for work in [pool.submit(each, n) for n in range(2) for each in (use, sweep)]:
            work.result(30)
    assert (lost, store.get(KEY)) == ([], DATA)


def test_what_a_dead_process_left_behind_is_swept_or_found(tmp_path: Path) -> None:
    store = FilePayloadStore(directory=tmp_path)
    store.put(KEY, DATA)
    folder = tmp_path / KEY[:2]
    (folder / KEY).rename(folder / f"{KEY}.aside")  # it died while it threw it away
    (folder / "new-abc").write_bytes(b"lo")  # it died while it wrote
    assert store.get(KEY) == DATA
    assert (list(store.put_before(an_hour_ago())), len(files(tmp_path))) == ([], 2)
    grow_old(tmp_path)
    assert list(store.put_before(an_hour_ago())) == [KEY]
    assert files(tmp_path) == [f"{KEY}.aside"]
    assert store.discard(KEY, an_hour_ago())
    assert files(tmp_path) == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "README").write_text("mine")
    grow_old(tmp_path)
    assert list(FilePayloadStore(directory=tmp_path).put_before(an_hour_ago())) == []
    assert list(FilePayloadStore(directory=tmp_path / "none").put_before(an_hour_ago())) == []
    assert files(tmp_path) == ["README"]


@pytest.mark.parametrize("key", ["../../etc/passwd", "", KEY.upper(), KEY[:-1]])
def test_keys_are_no_paths(tmp_path: Path, key: str) -> None:
    with pytest.raises(AssertionError, match="it must be ours"):
        FilePayloadStore(directory=tmp_path).get(key)


def test_a_directory_that_depends_on_where_one_stands_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="an absolute path"):
        FilePayloadStore(directory="payloads")
