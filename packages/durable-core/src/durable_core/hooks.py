"""Hook specs: how queues and history stores, the built-in ones too, make themselves known.

A plugin is a module of `hookimpl` functions named by an entry point in the group ``durable``. Entry points are loaded
one at a time, so that a broken plugin is reported and does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import pluggy

from durable_core.errors import ConfigurationError, did_you_mean
from durable_core.ports import HistoryStore, TaskQueue

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = "durable"
ENTRY_POINT_GROUP = "durable"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

T = TypeVar("T")


class Register(Protocol):
    """What a plugin calls for each thing it has. *factory* takes the options of the settings as keywords."""

    def __call__(self, name: str, factory: Callable[..., Any], *, doc: str = "") -> None: ...


class Specs:
    """Called once per process, when the first queue or store is asked for."""

    @hookspec
    def durable_register_queues(self, register: Register) -> None:
        """Register task queues: ``register("kafka", KafkaQueue, doc="...")``."""

    @hookspec
    def durable_register_stores(self, register: Register) -> None:
        """Register history stores. Experimental: the Django store is what starts and the admin are made for."""


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """An entry point that could not be loaded."""

    name: str
    distribution: str
    error: str


@dataclass(slots=True)
class Backends(Generic[T]):
    """Factories by name. Raises `ConfigurationError` for a name taken twice."""

    kind: str
    factories: dict[str, Callable[..., T]] = field(default_factory=dict)
    docs: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, factory: Callable[..., T], *, doc: str = "") -> None:
        if name in self.factories and self.factories[name] is not factory:
            raise ConfigurationError(f"two plugins register a {self.kind} named {name!r}; disable one of them.")
        self.factories[name] = factory
        self.docs[name] = doc

    def find(self, name: str) -> Callable[..., T]:
        """The factory of a name. Raises `ConfigurationError` with the nearest names."""
        if name not in self.factories:
            raise ConfigurationError(f"Unknown {self.kind} {name!r}. {did_you_mean(name, self.factories)}")
        return self.factories[name]


@dataclass(slots=True)
class Plugins:
    """All that was loaded in this process."""

    manager: pluggy.PluginManager
    queues: Backends[TaskQueue]
    stores: Backends[HistoryStore]
    broken: list[BrokenPlugin]


def load(*builtins: Any) -> Plugins:
    """Load plugins from entry points, and *builtins* (modules) before them."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    for module in builtins:
        manager.register(module)
    broken: list[BrokenPlugin] = []
    # Not load_setuptools_entrypoints: it stops at the first plugin that fails to import.
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            plugin = entry_point.load()
            if not manager.is_registered(plugin):
                manager.register(plugin, name=entry_point.name)
                manager.check_pending()
        except Exception as error:  # noqa: BLE001 - a third party's import may fail in any way
            distribution = entry_point.dist.name if entry_point.dist is not None else "?"
            broken.append(BrokenPlugin(entry_point.name, distribution, f"{type(error).__name__}: {error}"))
            manager.unregister(name=entry_point.name)
    queues: Backends[TaskQueue] = Backends("queue backend")
    stores: Backends[HistoryStore] = Backends("history store")
    manager.hook.durable_register_queues(register=queues)
    manager.hook.durable_register_stores(register=stores)
    return Plugins(manager, queues, stores, broken)


@cache
def plugins() -> Plugins:
    """What the entry points of this environment offer; loaded once per process."""
    return load()
