"""durable_doctor: what is wrong here, and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from django_durable.doctor import examine
from django_durable.management.shared import DurableCommand
from durable_core.ports import Finding, Level

MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}


class Command(DurableCommand):
    help = (
        "Examine settings, database, queue, clocks, workers and schedule. Reads only. Exits with 1 if anything is a "
        "problem; warnings alone do not count."
    )
    requires_system_checks = ()  # their messages are among the findings, and must not stop the others

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def run(self, **options: Any) -> None:
        found = list(examine())
        if options["format"] == "json":
            self.stdout.write(json.dumps([{**f._asdict(), "level": f.level.value} for f in found]))
        else:
            self.show(found)
        if any(finding.level is Level.PROBLEM for finding in found):
            self.stdout.flush()
            sys.exit(1)

    def show(self, found: list[Finding]) -> None:
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        width = max(len(finding.subject) for finding in found)
        for finding in found:
            mark = styles[finding.level](f"{MARKS[finding.level]:<7}")
            self.stdout.write(f"{mark}  {finding.subject:<{width}}  {finding.message}")
            if finding.hint:
                self.stdout.write(f"{'':<7}  {'':<{width}}  {finding.hint}")
        problems = sum(finding.level is Level.PROBLEM for finding in found)
        warnings = sum(finding.level is Level.WARNING for finding in found)
        self.stdout.write(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
