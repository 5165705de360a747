"""The ``DURABLE`` setting: read when it is first needed, checked as a whole.

    DURABLE = {
        "DATABASE": "default",
        "QUEUE": {"BACKEND": "database", "OPTIONS": {}},
        "MAX_CRASHES": 3,
    }

All keys are optional. What is wrong becomes a `Problem`: `manage.py check` shows all of them, using the setting raises
`ImproperlyConfigured` with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections

from django_durable import backends, codecs
from durable_core.codec import MAX_PAYLOAD_BYTES
from durable_core.errors import did_you_mean
from durable_core.sealing import Sealer

BEATS = 3  # heartbeats that may be missed before a worker is taken for dead


class Problem(NamedTuple):
    """Something wrong with the setting: what a system check shows."""

    id: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The setting with its defaults filled in."""

    database: str = DEFAULT_DB_ALIAS
    queue_backend: str = "database"
    queue_options: Mapping[str, Any] = field(default_factory=dict)  # keywords of the queue's constructor
    workflow_cache_size: int = 1_000  # runs a worker keeps in memory; 0: replay at every step
    heartbeat_interval: float = 5.0  # seconds
    worker_timeout: float = 15.0  # seconds without a heartbeat after which a worker is dead
    workflow_code_timeout: float = 10.0  # seconds without a ctx call after which workflow code is stopped
    redelivery: float = 30.0  # seconds after which what a queue was given, or mail, is taken to be lost
    max_crashes: int = 3
    max_payload: int = MAX_PAYLOAD_BYTES  # encoded bytes
    strict_inputs: bool = False
    on_workflow_error: str = "fail"  # or "block"
    plugins: Sequence[str] = ()  # modules of the project with hooks
    redact: frozenset[str] = frozenset()  # keys whose values people are not shown, casefolded
    sealer: Sealer | None = field(default=None, repr=False)  # of CODECS and PAYLOAD_STORE; None: payloads are plain


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of the setting: which field it sets, what it accepts, and how to say that."""

    field: str
    accepts: Callable[[Any], bool]
    expected: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


KEYS = {
    "DATABASE": _Key("database", lambda v: isinstance(v, str), "an alias of DATABASES"),
    "WORKFLOW_CACHE_SIZE": _Key("workflow_cache_size", _whole(0), "a whole number, 0 or more"),
    "HEARTBEAT_INTERVAL": _Key("heartbeat_interval", lambda v: _is_number(v) and v > 0, "seconds, more than 0"),
    "WORKER_TIMEOUT": _Key("worker_timeout", lambda v: _is_number(v) and v > 0, "seconds, more than 0"),
    "WORKFLOW_CODE_TIMEOUT": _Key("workflow_code_timeout", lambda v: _is_number(v) and v > 0, "seconds, more than 0"),
    "REDELIVERY": _Key("redelivery", lambda v: _is_number(v) and v > 0, "seconds, more than 0"),
    "MAX_CRASHES": _Key("max_crashes", _whole(1), "a whole number, 1 or more"),
    "MAX_PAYLOAD": _Key("max_payload", _whole(1), "a whole number of bytes, 1 or more"),
    "STRICT_INPUTS": _Key("strict_inputs", lambda v: isinstance(v, bool), "True or False"),
    "PLUGINS": _Key("plugins", backends.is_list_of_modules, "a list of modules, such as ['shop.durable_hooks']"),
    "ON_WORKFLOW_ERROR": _Key("on_workflow_error", lambda v: v in ("fail", "block"), "'fail' or 'block'"),
}
NAMES = [*KEYS, "QUEUE", "REDACT", "CODECS", "PAYLOAD_STORE"]


def conf() -> Conf:
    """What the project has chosen. Raises `ImproperlyConfigured` for the first problem with it."""
    found, problems = inspect()
    if problems:
        first, others = problems[0], len(problems) - 1
        more = f" ({others} more: see manage.py check)" if others else ""
        raise ImproperlyConfigured(f"{first.message} {first.hint} [{first.id}]{more}")
    return found


@cache
def inspect() -> tuple[Conf, tuple[Problem, ...]]:
    """The setting as far as it makes sense, and what does not."""
    raw = getattr(settings, "DURABLE", {})
    if not isinstance(raw, Mapping):
        wrong = Problem("durable.E005", f"DURABLE is {_kind_of(raw)}.", "It must be a dict, such as DURABLE = {}.")
        return Conf(), (wrong,)
    problems: list[Problem] = []
    chosen: dict[str, Any] = {}
    for name, value in raw.items():
        if name == "QUEUE":
            chosen |= _queue(value, problems)
        elif name == "REDACT":
            chosen |= _redact(value, problems)
        elif name in ("CODECS", "PAYLOAD_STORE"):
            pass  # together, below
        elif (key := KEYS.get(name)) is None:
            unknown = f"DURABLE has an unknown key {name!r}."
            problems.append(Problem("durable.E005", unknown, did_you_mean(str(name), NAMES)))
        elif key.accepts(value):
            chosen[key.field] = value
        else:
            wrong = Problem("durable.E005", f"DURABLE[{name!r}] is {value!r}.", f"It must be {key.expected}.")
            problems.append(wrong)
    try:
        chosen["sealer"] = codecs.make_sealer(raw.get("CODECS", ()), raw.get("PAYLOAD_STORE"))
    except codecs.UnusableCodec as error:
        problems.append(Problem("durable.E008", error.message, error.hint))
    found = Conf(**chosen)
    problems += _contradictions(found)
    return found, tuple(problems)


def _contradictions(found: Conf) -> list[Problem]:
    problems = []
    least = round(BEATS * found.heartbeat_interval, 6)  # 3 * 0.1 is a little more than 0.3
    if found.worker_timeout < least:
        problems.append(
            Problem(
                "durable.E005",
                f"DURABLE['WORKER_TIMEOUT'] is {found.worker_timeout} s, less than {BEATS} times HEARTBEAT_INTERVAL "
                f"({found.heartbeat_interval} s).",
                f"A worker that is only slow would be taken for dead: make it {least} s or more.",
            )
        )
    if found.database not in connections.databases:
        problems.append(
            Problem(
                "durable.E003",
                f"DURABLE['DATABASE'] is {found.database!r}, which DATABASES does not have.",
                did_you_mean(found.database, connections.databases),
            )
        )
    return problems


def _redact(value: Any, problems: list[Problem]) -> dict[str, Any]:
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) and name for name in value):
        return {"redact": frozenset(name.casefold() for name in value)}
    wrong = f"DURABLE['REDACT'] is {value!r}."
    problems.append(Problem("durable.E005", wrong, "It must be a list of names of keys, such as ['password']."))
    return {}


def _queue(value: Any, problems: list[Problem]) -> dict[str, Any]:
    example = 'It must be a dict such as {"BACKEND": "database", "OPTIONS": {}}.'
    if not isinstance(value, Mapping):
        problems.append(Problem("durable.E005", f"DURABLE['QUEUE'] is {_kind_of(value)}.", example))
        return {}
    problems += [
        Problem("durable.E005", f"DURABLE['QUEUE'] has an unknown key {key!r}.", did_you_mean(str(key), _QUEUE_KEYS))
        for key in value
        if key not in _QUEUE_KEYS
    ]
    backend, options = value.get("BACKEND", "database"), value.get("OPTIONS", {})
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        wrong = f"DURABLE['QUEUE']['OPTIONS'] is {_kind_of(options)}."
        problems.append(Problem("durable.E005", wrong, "It must be a dict of keywords."))
        options = {}
    if not isinstance(backend, str):
        problems.append(Problem("durable.E005", f"DURABLE['QUEUE']['BACKEND'] is {_kind_of(backend)}.", example))
        return {}
    try:
        factory = backends.find_queue(backend)
    except backends.PackageMissing as error:
        problems.append(Problem("durable.E002", error.message, error.hint))
    except backends.UnknownBackend as error:
        problems.append(Problem("durable.E001", error.message, error.hint))
    else:
        try:
            backends.check_options(factory, options)
        except TypeError as error:
            wrong = f"DURABLE['QUEUE']['OPTIONS'] do not fit queue backend {backend!r}: {error}."
            problems.append(Problem("durable.E005", wrong, backends.options_of(factory)))
    return {"queue_backend": backend, "queue_options": dict(options)}


def _kind_of(value: Any) -> str:
    """What stands where a queue's address belongs is not shown: there may be a password in it."""
    if isinstance(value, Mapping):
        return "a dict with keys that are no texts"
    return {str: "a text", list: "a list", tuple: "a tuple", type(None): "None"}.get(type(value), repr(type(value)))


_QUEUE_KEYS = ("BACKEND", "OPTIONS")


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("DURABLE", "DATABASES"):
        inspect.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="django_durable.conf")
