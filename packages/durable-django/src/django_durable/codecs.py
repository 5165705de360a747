"""What ``DURABLE["CODECS"]`` and ``DURABLE["PAYLOAD_STORE"]`` name, made once per process.

Their options may be keys: nothing here quotes one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from durable_core.errors import ConfigurationError
from durable_core.sealing import PayloadCodec, PayloadStore, Sealer
from durable_core.sealing.sealer import THRESHOLD

CODECS = "DURABLE['CODECS']"
PAYLOAD_STORE = "DURABLE['PAYLOAD_STORE']"
FILES = "durable_core.sealing.FilePayloadStore"
EXAMPLES = {
    CODECS: 'It must be a list such as [{"CLASS": "durable_core.sealing.ZlibCodec", "OPTIONS": {}}].',
    PAYLOAD_STORE: 'It must be a dict such as {"OPTIONS": {"directory": "/srv/payloads"}, "THRESHOLD": 64000}.',
}


class UnusableCodec(ConfigurationError):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


def make_sealer(codecs: Any, payload_store: Any) -> Sealer | None:
    """None where neither is set. Raises `UnusableCodec`."""
    if not isinstance(codecs, list | tuple):
        raise UnusableCodec(f"{CODECS} is a {type(codecs).__name__}.", EXAMPLES[CODECS])
    made: list[PayloadCodec] = []
    for number, entry in enumerate(codecs):
        where = f"{CODECS}[{number}]"
        codec = _made(entry, where, EXAMPLES[CODECS], {"CLASS", "OPTIONS"})
        if not isinstance(codec, PayloadCodec):
            raise UnusableCodec(f"{where} has no name, or does not encode and decode.", "See PayloadCodec.")
        made.append(codec)
    elsewhere, threshold = _payload_store(payload_store)
    if not made and elsewhere is None:
        return None
    try:
        return Sealer(made, elsewhere, threshold=threshold)
    except ConfigurationError as error:
        raise UnusableCodec(str(error), "") from error


def _payload_store(entry: Any) -> tuple[PayloadStore | None, int]:
    if entry is None:
        return None, THRESHOLD
    example = EXAMPLES[PAYLOAD_STORE]
    if not isinstance(entry, Mapping):
        raise UnusableCodec(f"{PAYLOAD_STORE} is a {type(entry).__name__}.", example)
    entry = {"CLASS": FILES, **entry}
    store = _made(entry, PAYLOAD_STORE, example, {"CLASS", "OPTIONS", "THRESHOLD"})
    if not isinstance(store, PayloadStore):
        what = f"{PAYLOAD_STORE} does not put, get, discard and list what it has."
        raise UnusableCodec(what, "See PayloadStore.")
    threshold = entry.get("THRESHOLD", THRESHOLD)
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 0:
        raise UnusableCodec(f"{PAYLOAD_STORE}['THRESHOLD'] is {threshold!r}.", "It must be bytes, 0 or more.")
    return store, threshold


def _made(entry: Any, where: str, example: str, keys: set[str]) -> Any:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("CLASS"), str):
        raise UnusableCodec(f"{where} names no CLASS.", example)
    if unknown := sorted(str(key) for key in entry if key not in keys):
        raise UnusableCodec(f"{where} has an unknown key {unknown[0]!r}.", example)
    path, options = entry["CLASS"], entry.get("OPTIONS", {})
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise UnusableCodec(f"{where}['OPTIONS'] is no dict of keywords.", example)
    try:
        factory = import_string(path)
    except Exception as error:
        what = f"{where}: {path!r} cannot be imported: {type(error).__name__}: {error}."
        raise UnusableCodec(what, "Is the path right, and its package installed?") from error
    try:
        inspect.signature(factory).bind(**options)
    except (TypeError, ValueError) as error:
        raise UnusableCodec(f"{where}['OPTIONS'] do not fit {path}: {error}.", example) from None
    try:
        return factory(**options)
    except (ConfigurationError, ImproperlyConfigured) as error:
        raise UnusableCodec(f"{where}: {error}", "") from error
    except Exception as error:  # noqa: BLE001 - and without its message: it may quote a key
        what = f"{where}: {path} cannot be made with these OPTIONS: {type(error).__name__}."
        raise UnusableCodec(what, "Mend the options.") from None
