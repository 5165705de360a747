"""Plugins, found by entry points and by settings, and loaded one at a time: a broken one is reported and stops nobody.

Two groups of entry points: ``durable`` names modules of hooks, ``durable.queues`` names queue classes, which are not
imported before somebody chooses them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from importlib.metadata import distributions, entry_points
from typing import TYPE_CHECKING, Any

from durable_core.errors import ConfigurationError, did_you_mean
from durable_core.hooks.announcing import Innermost, in_words
from durable_core.hooks.examining import examined, new_manager
from durable_core.hooks.offers import Backends, Offer
from durable_core.ports import HistoryStore, TaskQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from importlib.metadata import Distribution, EntryPoint
    from types import ModuleType

    import pluggy

HOOKS_GROUP = "durable"
QUEUES_GROUP = "durable.queues"
DISABLE = "DURABLE_DISABLE_PLUGINS"  # environment variable: names, with commas between them


class Kind(StrEnum):
    HOOKS = "hooks"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One that is installed, or that the settings name."""

    name: str  # of its entry point; the path of a module that the settings name
    kind: Kind
    target: str  # dotted path
    distribution: str = ""  # "" for a module of the project
    version: str = ""
    hooks: tuple[str, ...] = ()  # that it implements, once it is loaded


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """One that could not be loaded."""

    name: str
    distribution: str
    error: str
    kind: Kind = Kind.HOOKS
    target: str = ""
    version: str = ""

    @property
    def remedy(self) -> str:
        if not self.distribution:
            return "Mend it, or take it out of the settings. The other plugins work."
        turn_off = f", or turn it off by {DISABLE}={self.name}" if self.target else ""
        return f"Upgrade or uninstall {self.distribution}{turn_off}. The other plugins work."


@dataclass(slots=True)
class Plugins:
    """All that was found in this process, and what came of it."""

    manager: pluggy.PluginManager = field(default_factory=new_manager)
    queues: Backends[TaskQueue] = field(default_factory=lambda: Backends("queue backend"))
    stores: Backends[HistoryStore] = field(default_factory=lambda: Backends("history store"))
    found: list[Plugin] = field(default_factory=list)  # those that work, as far as is known
    broken: list[BrokenPlugin] = field(default_factory=list)
    disabled: list[Plugin] = field(default_factory=list)
    not_disabled: dict[str, str] = field(default_factory=dict)  # names that were to be, and why they are not


def load(*builtins: ModuleType, modules: Collection[str] = (), disabled: Collection[str] | None = None) -> Plugins:
    """Load *builtins*, then what entry points name, then *modules* of the project, by their paths.

    *disabled*: names not to load; by default those of ``DURABLE_DISABLE_PLUGINS``. Built-in ones cannot be.
    """
    if disabled is None:
        disabled = [name for text in os.environ.get(DISABLE, "").split(",") if (name := text.strip())]
    made = Plugins()
    made.manager.register(Innermost(), name=f"{HOOKS_GROUP}.innermost")
    installed = [(_plugin_of(point, Kind.HOOKS), point.load) for point in _points(HOOKS_GROUP, made.broken)]
    known = {plugin.target: plugin for plugin, _ in installed}
    own = [known.get(m.__name__, Plugin(m.__name__, Kind.HOOKS, m.__name__)) for m in builtins]
    for plugin, module in zip(own, builtins, strict=True):
        _admit(made, plugin, partial(import_module, module.__name__))

    blocked = frozenset(disabled) - {plugin.name for plugin in own}
    for name in blocked:
        made.manager.set_blocked(name)
    installed += [(Plugin(path, Kind.HOOKS, path), partial(import_module, path)) for path in modules]
    for plugin, import_it in installed:
        if plugin.name in blocked:
            made.disabled.append(plugin)
        else:
            _admit(made, plugin, import_it)
    for point in _points(QUEUES_GROUP, []):
        plugin = _plugin_of(point, Kind.QUEUE)
        if plugin.name in blocked:
            made.disabled.append(plugin)
        else:
            made.found.append(plugin)
            factory = partial(_factory_at, point)
            made.queues.add(Offer(plugin.name, plugin.name, plugin.distribution, plugin.target, factory))
    made.not_disabled = dict(_not_disabled(made, disabled, blocked))
    return made


# One plugin


def _admit(made: Plugins, plugin: Plugin, import_it: Callable[[], Any]) -> None:
    """Take in a module of hooks as a whole, or not at all."""
    try:
        module = import_it()
        if made.manager.is_registered(module):
            return  # built in, or named twice
        content = examined(module, plugin.name, plugin.distribution)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a third party's import may fail in any way
        said = str(error) if isinstance(error, ConfigurationError) else in_words(error)
        made.broken.append(
            BrokenPlugin(plugin.name, plugin.distribution, said, plugin.kind, plugin.target, plugin.version)
        )
        return
    taken = made.manager.has_plugin(plugin.name)
    made.manager.register(module, name=f"{plugin.name} of {plugin.distribution}" if taken else plugin.name)
    made.found.append(replace(plugin, hooks=content.hooks))
    for queue in content.queues:
        made.queues.add(queue)
    for store in content.stores:
        made.stores.add(store)


def _factory_at(point: EntryPoint) -> Callable[..., TaskQueue]:
    factory: Callable[..., TaskQueue] = point.load()
    if not callable(factory):
        raise ConfigurationError(f"{point.value} is neither a class nor a function.")
    return factory


# Entry points


def _points(group: str, broken: list[BrokenPlugin]) -> list[EntryPoint]:
    try:
        return sorted(entry_points(group=group), key=_name_and_value)
    except Exception:  # noqa: BLE001 - one distribution whose file makes no sense stops the whole search
        return sorted(_points_one_by_one(group, broken), key=_name_and_value)


def _name_and_value(point: EntryPoint) -> tuple[str, str]:
    return point.name, point.value


def _points_one_by_one(group: str, broken: list[BrokenPlugin]) -> Iterator[EntryPoint]:
    seen = set()
    for distribution in distributions():
        if distribution.name in seen:
            continue  # shadowed by one that stands earlier on the path
        seen.add(distribution.name)
        try:
            yield from distribution.entry_points.select(group=group)
        except Exception as error:  # noqa: BLE001 - as above
            broken.append(
                BrokenPlugin("entry_points.txt", distribution.name, in_words(error), version=distribution.version)
            )


def _plugin_of(point: EntryPoint, kind: Kind) -> Plugin:
    target = point.value.partition("[")[0].strip().replace(":", ".")
    distribution: Distribution | None = point.dist
    if distribution is None:
        return Plugin(point.name, kind, target, "?")
    return Plugin(point.name, kind, target, distribution.name or "?", distribution.version or "")


def _not_disabled(made: Plugins, disabled: Collection[str], blocked: Collection[str]) -> Iterator[tuple[str, str]]:
    there = [plugin.name for plugin in made.found + made.disabled] + [broken.name for broken in made.broken]
    for name in disabled:
        if name not in blocked:
            yield name, "It is built in."
        elif name not in there:
            yield name, f"There is no such plugin. {did_you_mean(name, there)}"
