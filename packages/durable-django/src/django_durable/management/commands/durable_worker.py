"""durable_worker: drive runs and activities until told to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import connections
from django.utils import autoreload

from django_durable.engine import engine, make_worker, worker_settings
from django_durable.logs import log_to_stderr
from django_durable.management.shared import DurableCommand, require_migrated
from django_durable.stopping import leave_with, listening, watching_parent
from django_durable.supervisor import REPLACE_ME, Supervisor
from durable_core.definitions import register
from durable_core.options import MAX_NAME
from durable_core.worker import Worker, WorkerSettings

LEVELS = {0: logging.ERROR, 1: logging.INFO, 2: logging.INFO, 3: logging.DEBUG}
LOOK_AFTER_THREADS = 1.0  # seconds
GC_THRESHOLD = (10_000, 20, 50)  # Python's are 700, 10, 10
PASSED_ON = (  # to the workers of a supervisor
    "batch",
    "tick",
    "threads",
    "async_slots",
    "process_slots",
    "tasks_per_process",
    "drain_timeout",
    "max_tasks",
    "iterations",
    "verbosity",
)
CODE_HAS_CHANGED = 3  # exit code by which Django's reloader asks for a new process

logger = logging.getLogger("durable.worker")


class Command(DurableCommand):
    help = (
        "Run a worker. SIGTERM or Ctrl-C drains it: it claims nothing more, lets running activities end, gives back "
        "the rest and exits with 0. A second signal forces that."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--batch", type=_positive, default=100, metavar="N", help="runs claimed at once (100)")
        parser.add_argument(
            "--tick",
            type=_seconds,
            default=0.2,
            metavar="SECONDS",
            help="between two looks at the database when nothing wakes the worker (0.2)",
        )
        parser.add_argument("--procs", type=_positive, default=1, metavar="N", help="processes (1)")
        parser.add_argument("--threads", type=_positive, default=10, metavar="N", help="activity slots in each (10)")
        parser.add_argument(
            "--async-slots", type=_positive, default=100, metavar="N", help="slots for async activities in each (100)"
        )
        parser.add_argument(
            "--process-slots",
            type=_positive,
            default=4,
            metavar="N",
            help='slots for activities with executor="process" in each, and processes for them at most (4)',
        )
        parser.add_argument(
            "--tasks-per-process",
            type=_positive,
            metavar="N",
            help="replace such a process after so many activities (never)",
        )
        parser.add_argument(
            "--queue-name",
            action="append",
            default=[],
            metavar="NAME",
            help="serve only this queue; may be repeated, or list names with commas",
        )
        parser.add_argument(
            "--exclude-queues", action="append", default=[], metavar="NAME", help="serve all queues but these"
        )
        parser.add_argument("--until-idle", action="store_true", help="exit when nothing is left to do now")
        parser.add_argument("--max-tasks", type=_positive, metavar="N", help="exit after so many activities")
        parser.add_argument("--iterations", type=_positive, metavar="N", help="exit after so many rounds of the loop")
        parser.add_argument(
            "--drain-timeout",
            type=_seconds,
            default=30.0,
            metavar="SECONDS",
            help="that running activities get when the worker is asked to stop (30)",
        )
        parser.add_argument("--worker-id", type=UUID, metavar="UUID", help="its id (a new one)")
        parser.add_argument(
            "--reload",
            action=argparse.BooleanOptionalAction,
            default=False,
            help="start again when code changes, for development",
        )
        parser.add_argument("--child-of", type=int, help=argparse.SUPPRESS)

    def run_from_argv(self, argv: list[str]) -> None:
        """Of a process of our own: when the work has ended, so does that."""
        code: Any = 1
        try:
            super().run_from_argv(argv)
            code = 0
        except SystemExit as end:
            code = end.code or 0
            raise
        finally:
            leave_with(code if isinstance(code, int) else 1)

    def run(self, **options: Any) -> None:
        settings = self.settings_of(options)
        log_to_stderr(LEVELS.get(options["verbosity"], logging.INFO))
        engine()  # a wrong setting ends here
        if options["procs"] > 1 and options["worker_id"] is not None:
            raise CommandError("--worker-id names one process; it cannot be used with --procs.")
        if options["reload"]:
            if options["procs"] > 1:
                raise CommandError("--reload works with one process; leave --procs out.")
            self.run_reloading(settings, options)
            return
        require_migrated()
        if options["child_of"] is None:
            self.introduce(settings, options)
        connections.close_all()  # none of ours is carried into the work, or into a child
        if options["procs"] > 1:
            supervisor = Supervisor(
                options["procs"],
                lambda worker_id: child_command(worker_id, options),
                drain_timeout=settings.drain_timeout,
            )
            code = supervisor.run()
        else:
            code = self.work(settings, options)
        if code:
            sys.exit(code)

    def settings_of(self, options: dict[str, Any]) -> WorkerSettings:
        queues, excluded = _names(options["queue_name"]), _names(options["exclude_queues"])
        if both := sorted(set(queues) & set(excluded)):
            raise CommandError(f"--queue-name and --exclude-queues both name {', '.join(both)}.")
        return worker_settings(
            batch=options["batch"],
            tick=options["tick"],
            threads=options["threads"],
            async_slots=options["async_slots"],
            process_slots=options["process_slots"],
            tasks_per_process=options["tasks_per_process"] or 0,
            queues=queues,
            exclude=excluded,
            max_tasks=options["max_tasks"] or 0,
            drain_timeout=options["drain_timeout"],
        )

    def introduce(self, settings: WorkerSettings, options: dict[str, Any]) -> None:
        """One line about what this worker is; with -v 2 also what it can do."""
        if options["verbosity"] < 1:
            return
        conf = engine().conf
        queues = f"queues {', '.join(settings.queues)}" if settings.queues else "all queues"
        if settings.exclude:
            queues += f" but {', '.join(settings.exclude)}"
        self.stdout.write(
            f"durable_worker: database {conf.database!r} ({connections[conf.database].vendor}), "
            f"queue {conf.queue_backend!r}, {queues}, {options['procs']} process(es) of {settings.threads} threads, "
            f"{len(register.workflows)} workflows, {len(register.activities)} activities"
        )
        if options["verbosity"] >= 2:
            self.stdout.write(f"workflows: {', '.join(sorted(register.workflows)) or '-'}")
            self.stdout.write(f"activities: {', '.join(sorted(register.activities)) or '-'}")
        self.stdout.flush()

    # One process

    def work(self, settings: WorkerSettings, options: dict[str, Any]) -> int:
        """Until it is done; the exit code."""
        worker = make_worker(settings, worker_id=options["worker_id"])
        with ExitStack() as stack:
            parent = options["child_of"]
            stack.enter_context(listening(_stopper(worker), restore=parent is None))
            if parent is not None:
                stack.enter_context(watching_parent(parent, lambda: worker.stop("its parent died")))
                stack.enter_context(_Recycling(worker))
            self.loop(worker, options)
        return REPLACE_ME if parent is not None and worker.has_lost_threads else 0

    def loop(self, worker: Worker, options: dict[str, Any]) -> None:
        try:
            with _seldom_collecting():
                worker.run(until_idle=options["until_idle"], iterations=options["iterations"] or 0)
        finally:
            connections.close_all()

    # Development

    def run_reloading(self, settings: WorkerSettings, options: dict[str, Any]) -> None:
        """Django's reloader: a process that watches, and one that works, whose main thread is the reloader's."""
        if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
            sys.exit(_watch_over_reloads())
        require_migrated()
        self.introduce(settings, options)
        worker = make_worker(settings, worker_id=options["worker_id"])
        reloader = autoreload.get_reloader()
        # Not run_with_reloader: it would make SIGTERM an exit at once. Handlers first: only this thread may set them.
        with listening(_stopper(worker)):
            finished = threading.Event()

            def main() -> None:
                try:
                    self.loop(worker, options)
                finally:
                    finished.set()
                    reloader.stop()

            try:
                autoreload.start_django(reloader, main)
            finally:
                # The code has changed: give back at once what is claimed here.
                worker.stop("the code has changed")
                worker.stop()
                finished.wait(5)


def _watch_over_reloads() -> int:
    """Run this command as the process that works, again whenever its code has changed; its exit code.

    Django's own would kill it at SIGTERM, and a quarter of a second after Ctrl-C.
    """
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    while True:
        process = subprocess.Popen(autoreload.get_child_arguments(), env=environment, close_fds=False)

        def stop(number: signal.Signals, process: subprocess.Popen[bytes] = process) -> None:
            if number is signal.SIGTERM or not sys.stdin.isatty():  # a terminal sends Ctrl-C to both of us
                process.send_signal(number)

        with listening(stop):
            code = process.wait()
        if code != CODE_HAS_CHANGED:
            return code


class _Recycling:
    """Has a worker drain when it has lost threads to activities that would not stop; its parent replaces it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="durable-recycling", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *args: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_AFTER_THREADS):
            if self._worker.has_lost_threads and not self._worker.is_stopping:
                self._worker.stop("it has lost a thread to an activity that would not stop")
                return


def _stopper(worker: Worker) -> Any:
    asked = 0

    def stop(number: Any) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            os._exit(1)  # the loop itself hangs
        worker.stop(number.name)

    return stop


def child_command(worker_id: UUID, options: dict[str, Any]) -> list[str]:
    """This command again, in the same way, as one worker of a supervisor."""
    command = autoreload.get_child_arguments() if "durable_worker" in sys.argv else []
    if command:
        command = command[: command.index("durable_worker") + 1]
    else:  # called by code
        command = [sys.executable, "-m", "django", "durable_worker"]
    for name in PASSED_ON:
        if options[name] is not None:
            command += [f"--{name.replace('_', '-')}", str(options[name])]
    for name in ("settings", "pythonpath"):
        if options.get(name):
            command += [f"--{name}", options[name]]
    for name in ("no_color", "force_color", "traceback", "until_idle"):
        if options.get(name):
            command.append(f"--{name.replace('_', '-')}")
    for queue in _names(options["queue_name"]):
        command += ["--queue-name", queue]
    for queue in _names(options["exclude_queues"]):
        command += ["--exclude-queues", queue]
    return [*command, "--skip-checks", "--worker-id", str(worker_id), "--child-of", str(os.getpid())]


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Runs in memory live long and hold many small objects: with Python's defaults the garbage collector looks through
    all of them again and again, which takes some 10 % of a busy worker's time."""
    before = gc.get_threshold()
    is_frozen = gc.get_freeze_count() > 0  # by a server that loads everything and forks: its children are to share it
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not is_frozen:
            gc.unfreeze()


def _names(values: list[str]) -> tuple[str, ...]:
    """Names of queues, each option one or several between commas, each name once."""
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if not name or len(name) > MAX_NAME:
            raise CommandError(f"{','.join(values)!r} is no list of queue names, such as: default,mail")
    return tuple(dict.fromkeys(names))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1e6:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, more than 0")
