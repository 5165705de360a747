"""Which queues and stores there are: the built-in ones, those of plugins, and dotted paths."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from durable_core import hooks
from durable_core.errors import ConfigurationError, DurableError
from durable_core.ports import HasConnection, HistoryStore, TaskQueue

EXTRAS = {"postgres": "durable-django[postgres]", "redis": "durable-django[redis]"}  # queue: what to install for it

CONNECTION = "connection"  # keyword of factories that want to know the store's own database, a `StoreConnection`


class UnknownBackend(ConfigurationError):
    """No queue of this name, or nothing under this path."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


class PackageMissing(UnknownBackend):
    """The queue is known, and its package is not installed."""


class UnusableBackend(UnknownBackend):
    """The queue is known, and its plugin is broken, turned off, or not the only one with that name."""


def plugins() -> hooks.Plugins:
    """Loaded once per process."""
    raw = getattr(settings, "DURABLE", None)
    # Not conf(): it asks for plugins itself, and says what is wrong with this key.
    modules: Any = raw.get("PLUGINS") if isinstance(raw, Mapping) else None
    return _load(tuple(modules) if is_list_of_modules(modules) else ())


@cache
def _load(modules: tuple[str, ...]) -> hooks.Plugins:
    from django_durable import plugin

    # Ours is handed in, so that it is there also where the package's metadata is not.
    return hooks.load(plugin, modules=modules)


def is_list_of_modules(value: Any) -> bool:
    """Whether ``DURABLE["PLUGINS"]`` may be this."""
    return isinstance(value, list | tuple) and all(isinstance(path, str) and path for path in value)


def find_queue(name: str) -> Callable[..., TaskQueue]:
    """What makes the queue *name*, a short name or a dotted path. Raises `UnknownBackend`."""
    queues = plugins().queues
    if name in queues.contested:
        raise UnusableBackend(*queues.contest(name))
    if name in queues.offers:
        try:
            return queues.find(name)
        except (Exception, SystemExit) as error:
            raise _unusable(queues.offers[name][0], error) from error
    if "." in name:
        return _imported(name)
    raise _unknown(name)


def make_queue(name: str, options: Mapping[str, Any], store: HistoryStore) -> TaskQueue:
    """The queue *name* with these options; one that takes `connection` is given that of the store.

    Raises `UnusableBackend` for whatever the factory raises over options that it cannot use.
    """
    factory = find_queue(name)
    given = dict(options)
    if CONNECTION in _parameters(factory) and isinstance(store, HasConnection):
        given.setdefault(CONNECTION, store.connection())
    try:
        return factory(**given)
    except (DurableError, ImproperlyConfigured):
        raise
    except Exception as error:
        what = f"Queue backend {name!r} cannot be made with its OPTIONS: {type(error).__name__}: {error}."
        raise UnusableBackend(what, options_of(factory)) from error


def find_store(name: str) -> Callable[..., HistoryStore]:
    return plugins().stores.find(name)


def check_options(factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raises `TypeError` for keywords that the factory does not take."""
    try:
        signature = inspect.signature(factory)
    except ValueError:
        return  # a class of C code may have none
    given: dict[str, Any] = {CONNECTION: None} if CONNECTION in signature.parameters else {}
    signature.bind(**{**given, **options})


def options_of(factory: Callable[..., Any]) -> str:
    """A hint with the keywords that the factory takes."""
    names = [name for name in _parameters(factory) if name != CONNECTION]
    return f"It takes: {', '.join(names)}." if names else "It takes no options."


def _parameters(factory: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(factory).parameters)
    except ValueError:
        return []


def _unknown(name: str) -> UnknownBackend:
    found = plugins()
    what = f"Unknown queue backend {name!r}. Installed: {', '.join(sorted(found.queues.offers))}."
    for broken in found.broken:
        what += f" Plugin {broken.name!r} could not be loaded: {broken.error.rstrip('.')}."
    if name in [plugin.name for plugin in found.disabled]:
        return UnusableBackend(
            f"Queue backend {name!r} is turned off by {hooks.DISABLE}.", "Take it out there, or choose another queue."
        )
    if name in EXTRAS:
        return PackageMissing(what, f"Install it with: pip install '{EXTRAS[name]}'")
    near = get_close_matches(name, [*found.queues.offers, *EXTRAS], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Name one of these, or a class by its dotted path."
    return UnknownBackend(what, hint)


def _unusable(offer: hooks.Offer[TaskQueue], error: BaseException) -> UnknownBackend:
    said = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    owner = offer.distribution or "the project"
    what = f"Queue backend {offer.name!r} of {owner} cannot be loaded: {said.rstrip('.')}."
    if isinstance(error, ModuleNotFoundError) and offer.name in EXTRAS:
        return PackageMissing(what, f"Install what it needs with: pip install '{EXTRAS[offer.name]}'")
    return UnusableBackend(what, f"Mend or upgrade {owner}, or choose another queue.")


def _imported(path: str) -> Callable[..., TaskQueue]:
    module_name, _, attribute = path.rpartition(".")
    what = f"Queue backend {path!r} cannot be imported"
    try:
        found: Callable[..., TaskQueue] = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            # The module is there, and imports something that is not.
            raise PackageMissing(f"{what}: it needs {error.name}.", f"Install the package of {error.name}.") from error
        raise UnknownBackend(f"{what}: {error}.", "Is the path right, and its package installed?") from error
    except AttributeError as error:
        raise UnknownBackend(f"{what}: {error}.", "The path must end with a class or a function.") from error
    except Exception as error:
        raise UnknownBackend(f"{what}: {type(error).__name__}: {error}.", "Mend the module.") from error
    return found
