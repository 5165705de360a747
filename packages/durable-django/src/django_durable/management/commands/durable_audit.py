"""durable_audit: is what the store holds as it must be?"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware

from django_durable.auditing import audit_project, code_of_project
from django_durable.conf import conf
from django_durable.engine import engine, worker_settings
from django_durable.management.shared import DurableCommand, clean_errors, require_migrated
from durable_core.audit import Invariant, Report, Scope, Violation, private_stdout, serve, watch
from durable_core.hints import backend_of

VIOLATIONS, NOT_DONE = 1, 2  # exit codes
WIDTH = 80
DURATION = re.compile(r"(\d+)([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

LOOK_AGAIN = "durable_queue_setup --refill has every open run and queued activity looked at again. Please report it."
WRITTEN_BY_HAND = "Rows were changed by something else than Django Durable, or there is a bug: please report it."
ADVICE = {
    Invariant.REPLAY: "The code was changed under its runs, or depends on time, chance or the order of a set: guard "
    "the change with ctx.patched(), use ctx.now(), ctx.random() or ctx.side_effect(), or put the old code back.",
    Invariant.SILENCE: "Workflow code must not write: move that into an activity.",
    Invariant.QUIESCENCE: LOOK_AGAIN,
    Invariant.NOTHING_LOST: LOOK_AGAIN,
}


class Command(DurableCommand):
    help = (
        "Prove that what the store holds is as it must be: histories, activities, timers, signals, parents and "
        "children, and that the code still replays them. Reads only, also while workers are busy. Exits with 1 if "
        "anything is not, with 2 if it could not look."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--since", metavar="WHEN", help="runs created since: 2026-01-31, an ISO time, or 24h, 7d")
        parser.add_argument("--sample", type=_share, default=1.0, metavar="SHARE", help="this share of the runs: 0.1")
        parser.add_argument(
            "--replay",
            choices=["all", "strict", "none"],
            default="all",
            help="'strict': closed runs too must match the code as it is now; 'none': replay nothing",
        )
        parser.add_argument("--examples", type=_count, default=5, metavar="N", help="shown of each kind (default: 5)")
        parser.add_argument("--json", action="store_true", help="for scripts")
        parser.add_argument("--second-process", action="store_true", help=argparse.SUPPRESS)

    def run(self, **options: Any) -> None:
        if options["second_process"]:
            with watch(worker_settings().stuck_after) as watched:
                serve(code_of_project(watched=watched), sys.stdin, private_stdout())
            return
        try:
            with clean_errors():
                require_migrated()
                scope = Scope(since=_moment(options["since"]), sample=options["sample"])
                begun = time.monotonic()
                report = audit_project(scope=scope, replay=options["replay"], examples=options["examples"])
        except CommandError as error:
            error.returncode = NOT_DONE
            raise
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(report, scope), indent=2))
        else:
            self.show(report, time.monotonic() - begun)
        if not report.is_clean:
            self.stdout.flush()
            sys.exit(VIOLATIONS)

    # For people

    def show(self, report: Report, seconds: float) -> None:
        for what, number in _looked_at(report):
            self.stdout.write(f"{what:<24}{number:>12}")
        for why, times in report.not_replayed.most_common():
            self.stdout.write(f"{'  not replayed':<24}{times:>12,}  {textwrap.shorten(why, WIDTH - 38)}")
        if report.entries is None:
            queue = type(backend_of(engine().queue)).__name__
            self._wrap(f"The queue, a {queue}, cannot be audited: what it may have lost was not looked for.")
        if report.unreadable:
            self._wrap(
                f"{report.unreadable:,} runs have events of a newer release, or payloads that cannot be opened here, "
                "and were not looked at."
            )
        self.stdout.write("")
        for invariant in sorted(report.counts):
            self._show_invariant(invariant, report)
        total = report.counts.total()
        verdict = f"{total:,} violation{'' if total == 1 else 's'}" if total else "no violation"
        style = self.style.ERROR if total else self.style.SUCCESS
        self.stdout.write(f"{style(verdict)} in {seconds:.1f} s")

    def _show_invariant(self, invariant: Invariant, report: Report) -> None:
        count = report.counts[invariant]
        self.stdout.write(self.style.ERROR(f"{invariant.value:>2}  {invariant.title:<20}{count:>12,}"))
        shown = [violation for violation in report.violations if violation.invariant is invariant]
        for violation in shown:
            self._wrap(_place(violation), indent=4)
            self._wrap(f"found:    {violation.found}", indent=6, hanging=10)
            self._wrap(f"expected: {violation.expected}", indent=6, hanging=10)
        if count > len(shown):
            self.stdout.write(f"    and {count - len(shown):,} more (--examples)")
        self._wrap(f"To do: {ADVICE.get(invariant, WRITTEN_BY_HAND)}", indent=4, hanging=7)
        self.stdout.write("")

    def _wrap(self, text: str, *, indent: int = 0, hanging: int = 0) -> None:
        first, later = " " * indent, " " * (indent + hanging)
        self.stdout.write(textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=later))


def _looked_at(report: Report) -> list[tuple[str, str]]:
    entries = "-" if report.entries is None else f"{report.entries:,}"
    return [
        ("runs", f"{report.runs:,}"),
        ("  of them open", f"{report.open_runs:,}"),
        ("events", f"{report.events:,}"),
        ("activities", f"{report.tasks:,}"),
        ("unread messages", f"{report.mail:,}"),
        ("queue entries", entries),
        ("histories replayed", f"{report.replayed:,}"),
    ]


def _place(violation: Violation) -> str:
    places = {
        "run": violation.run_id,
        "seq": violation.seq,
        "call": violation.call_id,
        "task": violation.task_id,
    }
    return ", ".join(f"{name} {value}" for name, value in places.items() if value is not None) or "no single run"


# For scripts


def _as_json(report: Report, scope: Scope) -> dict[str, Any]:
    return {
        "clean": report.is_clean,
        "database": conf().database,
        "since": None if scope.since is None else scope.since.isoformat(),
        "sample": scope.sample,
        "looked_at": {
            "runs": report.runs,
            "open_runs": report.open_runs,
            "events": report.events,
            "activities": report.tasks,
            "mail": report.mail,
            "entries": report.entries,
            "unreadable": report.unreadable,
        },
        "replayed": report.replayed,
        "not_replayed": dict(report.not_replayed),
        "violations": [
            {
                "invariant": invariant.value,
                "name": invariant.title,
                "count": count,
                "examples": [_example(v) for v in report.violations if v.invariant is invariant],
            }
            for invariant, count in sorted(report.counts.items())
        ],
    }


def _example(violation: Violation) -> dict[str, Any]:
    return {
        "run_id": None if violation.run_id is None else str(violation.run_id),
        "seq": violation.seq,
        "call_id": violation.call_id,
        "task_id": None if violation.task_id is None else str(violation.task_id),
        "found": violation.found,
        "expected": violation.expected,
    }


# Arguments


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: it should be over 0, and 1 at most")
    return share


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    if span := DURATION.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        day = parse_date(text)
        moment = parse_datetime(text) if day is None else datetime(day.year, day.month, day.day)  # noqa: DTZ001
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"--since: {text!r} is no time. Write 2026-01-31, 2026-01-31T12:00+01:00, 90m, 24h or 7d.")
    return make_aware(moment) if is_naive(moment) else moment
