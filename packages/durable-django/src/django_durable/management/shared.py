"""What the commands have in common: input, errors without tracebacks, tables."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from django_durable.conf import conf
from durable_core.errors import DurableError

APP = "django_durable"
PIPE_CLOSED = 128 + signal.SIGPIPE  # exit code that shells give to what SIGPIPE has ended


class DurableCommand(BaseCommand):
    """A command whose errors are sentences. Subclasses have `run`."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with clean_errors():
                self.run(**options)
            self.stdout.flush()
        except BrokenPipeError:  # whoever reads our output has seen enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes what is left when it exits
            sys.exit(PIPE_CLOSED)

    def run(self, **options: Any) -> None:
        raise NotImplementedError

    def say(self, text: str) -> None:
        """Talk: stdout is for what scripts read."""
        self.stderr.write(text, style_func=str)  # not in the colour of errors


def add_execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("execution", metavar="ID", help="UUID of the workflow execution")


def add_input(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--input", metavar="JSON", help=f"{what}: JSON, @file, or - for stdin")


# Input


def read_json(text: str, option: str = "--input") -> Any:
    """The value of ``--input``, or of another option. Raises `CommandError`."""
    source = option
    try:
        if text == "-":
            source = "stdin"
            text = sys.stdin.read()
        elif text.startswith("@"):
            source = text[1:]
            text = Path(source).read_text(encoding="utf-8")
        text.encode()  # in arguments, and in some locales, what is not UTF-8 comes as lone surrogates
    except UnicodeError as error:
        raise CommandError(f"{source} is not UTF-8: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with NUL in it
        raise CommandError(f"{option}: cannot read {source}: {error}") from None
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        where = f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        if source != option:  # what is handed over like that may be a secret, and logs keep what commands say
            raise CommandError(f"{where}.") from None
        hint = f"Quote it for the shell, as in {option} '{{\"user_id\": 7}}'."
        raise CommandError(f"{where}{_pointer(error)}\n{hint}") from None
    except ValueError as error:
        raise CommandError(f"{source} is not JSON: {error}") from None
    except RecursionError:
        raise CommandError(f"{source} is nested too deep.") from None


def read_object(text: str | None, what: str) -> dict[str, Any]:
    """The same for what must be an object; none is an empty one."""
    value = {} if text is None else read_json(text)
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
        raise CommandError(f'{what} must be a JSON object, such as {{"user_id": 7}}; got {kind}.')
    return value


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the key {json.dumps(key)} twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} has no JSON form")


def _pointer(error: json.JSONDecodeError) -> str:
    """The line with the mistake, and a mark under it."""
    lines = error.doc.splitlines()
    if not lines or error.lineno > len(lines):
        return ""
    start = max(error.colno - 41, 0)
    line = lines[error.lineno - 1][start : start + 80]
    return f"\n  {line}\n  {' ' * (error.colno - 1 - start)}^"


# Errors


@contextmanager
def clean_errors() -> Iterator[None]:
    """What users can do something about becomes a `CommandError`."""
    try:
        yield
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    except DurableError as error:
        raise CommandError(_with_hint(str(error))) from error
    except TypeError as error:
        if not str(error).startswith("workflow "):  # input that it or a query does not take; another one is a bug
            raise
        raise CommandError(str(error)) from error
    except Error as error:
        raise CommandError(_with_hint(f"database {conf().database!r}: {error}".strip())) from error


def _with_hint(message: str) -> str:
    hint = unmigrated()
    return f"{message}\n{hint}" if hint else message


def unmigrated() -> str | None:
    """What to do when the tables are not there, or are old ones; None if they are right, or nobody can tell."""
    try:
        alias = conf().database
        connection = connections[alias]
        if connection.in_atomic_block and connection.needs_rollback:
            return None
        executor = MigrationExecutor(connection)
        leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP]
        if not executor.migration_plan(leaves):
            return None
    except (Error, ImproperlyConfigured):
        return None
    option = "" if alias == "default" else f" --database {alias}"
    return f"Database {alias!r} lacks migrations of {APP}. Run: python manage.py migrate{option}"


def require_migrated() -> None:
    """Raises `CommandError`; not for a database that does not answer."""
    if (hint := unmigrated()) is not None:
        raise CommandError(hint)


# Tables


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, width: Callable[[int], int] = lambda _: 60
) -> str:
    """Columns of text. *width* says how much of a cell its column shows; lines end with their text."""
    cells = [list(header), *([_cell(value, width(place)) for place, value in enumerate(row)] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    lines = ("  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def _cell(value: object, limit: int) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
