"""A worker is killed in the middle of an activity, and the workflow finishes as if nothing had happened.

    python demo.py
    python demo.py --queue toy_queue.ToyQueue --option path=/tmp/toy-queue     # on another queue than the database

Needs the two packages (durable-core, durable-django) and nothing else; `nox -s demo` installs them first. Everything
happens in one SQLite file beside this script, which is kept afterwards for the admin. Exit code 0: all that was
promised held.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parent
DATABASE = PROJECT / "demo.sqlite3"
PASSWORD = "admin"

INPUT = {"user_id": 7, "nudge_after": 30, "trial": 2}  # seconds; 3 days and 14 days unless asked otherwise
CLICK = {"clicked": True}
CONTACTS_BEFORE_THE_KILL = 4
PATIENCE = 30.0  # seconds for any one thing that has to happen


class Broken(Exception):
    """Something did not happen as promised."""


# --- telling ---


def say(text: str = "") -> None:
    print(text, flush=True)


def title(text: str) -> None:
    say(f"\n== {text}")


def show(text: str) -> None:
    """Somebody else's words, indented."""
    for line in text.rstrip().splitlines():
        say(f"   {line}")


def table(header: list[str], rows: list[list[Any]]) -> None:
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        say("   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def check(holds: object, promise: str) -> None:
    if not holds:
        raise Broken(promise)
    say(f"   ok  {promise}")


def wait_until(what: str, holds: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE:
            raise Broken(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


# --- doing ---


def manage(*arguments: str, quiet: bool = False, first_block: bool = False, **environment: str) -> str:
    """Run a management command as an operator would; what it printed. *first_block*: show no more than that."""
    if not quiet:
        say(f"$ python manage.py {' '.join(quoted(argument) for argument in arguments)}")
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise Broken(f"manage.py {' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    if not quiet:
        show(done.stdout.partition("\n\n")[0] if first_block else done.stdout)
    return done.stdout.strip()


def quoted(argument: str) -> str:
    return f"'{argument}'" if set(argument) & set(' "{}') else argument


@contextmanager
def worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process in a group of its own, and nothing of it left at the end, however the demo ends."""
    say("$ python manage.py durable_worker &")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "durable_worker"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """As a power cut does it: no goodbye, no cleaning up, and no parent that could tell anybody."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def status_of(run: str) -> str:
    return str(json.loads(manage("durable_status", run, "--query", "status", quiet=True))["status"])


# --- the story ---


def prepare() -> None:
    title("A fresh database")
    for leftover in PROJECT.glob(f"{DATABASE.name}*"):
        leftover.unlink()
    say(f"   {DATABASE}")
    if queue := os.environ.get("ONBOARDING_QUEUE"):
        say(f"   with the queue {queue}")
    manage("migrate", "--verbosity", "0")
    manage(
        "createsuperuser", "--noinput", "--username", "admin", "--email", "admin@example.com", "--verbosity", "0",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )  # fmt: skip


def first_half(log: Path) -> str:
    """Up to the death of the first worker; the run's id."""
    from onboarding.models import Contact

    from django_durable.models import ActivityTask, WorkflowExecution

    title("Worker 1 takes a workflow up to its wait for a signal")
    with worker(log) as process:
        run = manage("durable_start", "onboard_user", "--input", json.dumps(INPUT))
        execution = WorkflowExecution.objects.filter(pk=run)
        wait_until(
            "the wait for a signal",
            lambda: execution.filter(waiting_for__contains='"user_clicked"').exists(),
        )
        manage("durable_status", run, first_block=True)

        title("A signal arrives, an activity begins, and worker 1 is killed in the middle of it")
        manage("durable_signal", run, "user_clicked", "--input", json.dumps(CLICK))
        wait_until("the import", lambda: Contact.objects.count() >= CONTACTS_BEFORE_THE_KILL)
        kill(process)
    say(f"$ kill -9 {process.pid}")
    imported = Contact.objects.count()
    say(f"   Worker 1 is dead. {imported} of 8 contacts are imported; the activity never reported back:")
    rows = ActivityTask.objects.filter(execution_id=run).order_by("scheduled_at")
    table(["activity", "status", "attempt"], [[task.activity_name, task.status, task.attempt] for task in rows])
    check(imported < 8, "the activity was really in its middle")
    check(rows.get(activity_name="import_contacts").status == "RUNNING", "nobody knows yet that it is not running")
    return run


def second_half(run: str, log: Path) -> None:
    """A worker that knows nothing but database and queue finishes the run."""
    from django_durable.models import ActivityTask

    title("Worker 2 starts, and knows nothing but what the first one left behind")
    with worker(log) as process:
        attempts = ActivityTask.objects.filter(execution_id=run, activity_name="import_contacts", attempt=2)
        took = wait_until("the second attempt", attempts.exists)
        say(f"   {took:.1f} s later the lost attempt is tried again: worker 1 was silent for WORKER_TIMEOUT")
        say("   (4 s in this project, 15 s by default). Worker 2 has noticed:")
        show(last_line(log))
        wait_until("the end of the workflow", lambda: status_of(run) == "COMPLETED")

        title("It is done: the status, and the history that replay goes by")
        manage("durable_status", run, "--history", "0")
        say(f"$ kill {process.pid}")
        process.terminate()
        check(process.wait(PATIENCE) == 0, "worker 2 drained and exited with 0")


def last_line(log: Path) -> str:
    return log.read_text().rstrip().rpartition("\n")[2]


def prove(run: str) -> None:
    """Each promise, by the rows that the activities left."""
    from onboarding.models import Account, Contact, Email, Invoice

    from django_durable.models import ActivityTask, WorkflowExecution

    title("What came out, what was promised, and what the tables say")
    execution = WorkflowExecution.objects.get(pk=run)
    say("the result")
    show(json.dumps(execution.result, indent=2))
    say()
    mine = {task.activity_name: task for task in execution.activities.all()}
    check(execution.status == "COMPLETED", "the workflow completed")
    check(execution.result["click"] == CLICK, "it got the payload of the signal")
    check(
        list(Email.objects.order_by("pk").values_list("template", flat=True)) == ["welcome", "receipt"],
        "two e-mails left the house, each once, although the code was replayed from its first line",
    )
    check(mine["create_account"].attempt == 1, "what was done before the kill was not done again")
    check(mine["send_email"].attempt == 2, "the welcome e-mail took two attempts: the provider was busy at the first")
    check(mine["import_contacts"].attempt == 2, "the killed activity took two attempts, too: it runs at least once")
    numbers = list(Contact.objects.order_by("number").values_list("number", flat=True))
    check(numbers == [1, 2, 3, 4, 5, 6, 7, 8], "every contact is there once")
    by_attempt = {attempt: Contact.objects.filter(attempt=attempt).count() for attempt in (1, 2)}
    check(
        all(by_attempt.values()) and sum(by_attempt.values()) == 8,
        f"attempt 1 imported {by_attempt[1]} of them, attempt 2 went on with {by_attempt[2]}",
    )
    began_behind = execution.result["imported"]["began_behind"]
    check(began_behind > 0, f"attempt 2 began behind contact {began_behind}: the last heartbeat of attempt 1 said so")
    child = execution.children.get()
    check(child.status == "COMPLETED", f"the child workflow {child.workflow_name} completed")
    check(Invoice.objects.count() == 1, "the customer was charged once")
    check(Account.objects.get().state == "customer", "the account is a customer's")
    check(not ActivityTask.objects.exclude(status="COMPLETED").exists(), "no activity is left over")
    seqs = list(execution.history.order_by("seq").values_list("seq", flat=True))
    check(seqs == list(range(1, len(seqs) + 1)), f"the history has {len(seqs)} events without a gap")


def point_to_the_admin(seconds: float) -> None:
    title(f"All of it held, in {seconds:.0f} s. The database is still there: look around in the admin")
    show(f"cd {PROJECT}\n{sys.executable} manage.py runserver")
    say(f"   then http://127.0.0.1:8000/admin/ as admin, password {PASSWORD}")


def choose_queue() -> None:
    """What the settings of this process and of all that it starts go by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queue", metavar="BACKEND", help="a queue's name, or the dotted path of its class")
    parser.add_argument("--option", metavar="NAME=VALUE", action="append", default=[], help="of the queue; repeatable")
    chosen = parser.parse_args()
    if chosen.queue:
        options = dict(option.split("=", 1) for option in chosen.option)
        os.environ["ONBOARDING_QUEUE"] = json.dumps({"BACKEND": chosen.queue, "OPTIONS": options})


def main() -> int:
    began = time.monotonic()
    choose_queue()
    os.environ.pop("ONBOARDING_POSTGRES", None)  # the demo is about one file that it may delete
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    sys.path.insert(0, str(PROJECT))
    django.setup()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers are killed then, too
    with tempfile.TemporaryDirectory(prefix="durable-demo-") as folder:
        log = Path(folder, "workers.log")
        try:
            prepare()
            run = first_half(log)
            second_half(run, log)
            prove(run)
        except Broken as broken:
            say(f"\nBROKEN: {broken}")
            if log.exists():
                say("The workers said:")
                show(log.read_text())
            return 1
        except KeyboardInterrupt:
            say("\nstopped; its workers too")
            return 130
    point_to_the_admin(time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
