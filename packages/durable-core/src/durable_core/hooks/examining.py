"""What a module of hooks has in it, and what is wrong with it: a hook that nobody would call is an error."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from durable_core.errors import ConfigurationError
from durable_core.hooks.offers import Offer
from durable_core.hooks.specs import HOOKS, PROJECT, Specs
from durable_core.options import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from durable_core.ports import HistoryStore, TaskQueue


class Content(NamedTuple):
    hooks: tuple[str, ...]  # names
    queues: list[Offer[TaskQueue]]
    stores: list[Offer[HistoryStore]]


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    return manager


def examined(plugin: Any, name: str, distribution: str) -> Content:
    """What *plugin*, a module as a rule, offers.

    Raises `ConfigurationError` with what is wrong with its hooks, and what those that register things raise.
    """
    alone = new_manager()  # so that one of which a part is wrong is nowhere registered in part
    try:
        alone.register(plugin, name=name)
        alone.check_pending()
    except pluggy.PluginValidationError as error:
        raise ConfigurationError(_explanation(plugin, error)) from None
    hooks = tuple(hook for hook in HOOKS if getattr(alone.hook, hook).get_hookimpls())
    _check(plugin, hooks, alone)
    queues, stores = _Collector("queue", name, distribution), _Collector("store", name, distribution)
    alone.hook.durable_register_queues(register=queues)
    alone.hook.durable_register_stores(register=stores)
    return Content(hooks, queues.offers, stores.offers)


class _Collector:
    """`Register` for one plugin."""

    def __init__(self, kind: str, plugin: str, distribution: str) -> None:
        self._kind = kind
        self._plugin = plugin
        self._distribution = distribution
        self.offers: list[Offer[Any]] = []

    def __call__(self, name: str, factory: Any, *, doc: str = "") -> None:
        check_name(name, f"the name of a {self._kind}")
        if not callable(factory):
            raise ConfigurationError(f"{self._kind} {name!r} is {factory!r}; expected a class or a function.")
        target = f"{factory.__module__}.{getattr(factory, '__qualname__', repr(factory))}"
        self.offers.append(Offer(name, self._plugin, self._distribution, target, lambda: factory, doc))


# What is wrong


def _check(plugin: Any, hooks: tuple[str, ...], alone: pluggy.PluginManager) -> None:
    """What pluggy has no objections to, but would not do what its author means."""
    for hook in HOOKS:
        if hook not in hooks and callable(getattr(plugin, hook, None)):
            raise ConfigurationError(f"{hook}() lacks the decorator @hookimpl, so nobody would call it.")
    if not hooks:
        raise ConfigurationError(
            "it has no hooks, functions with the decorator @hookimpl. "
            "(A queue class belongs in the group durable.queues of entry points.)"
        )
    for implementation in alone.hook.durable_activity_call.get_hookimpls():
        if not implementation.wrapper:
            raise ConfigurationError(
                "durable_activity_call() would run instead of the activity: decorate it with @hookimpl(wrapper=True), "
                "and have it yield once."
            )


def _explanation(plugin: Any, error: Exception) -> str:
    for function, hook, parameters in _implementations(plugin):
        if hook not in HOOKS:
            return f"there is no hook {hook!r}. {_nearest(hook, HOOKS, 'The hooks are')}"
        given = list(inspect.signature(getattr(Specs, hook)).parameters)[1:]
        for name in parameters:
            if name not in given:
                return f"{function}() takes {name!r}, but the hook does not. {_nearest(name, given, 'It takes')}"
    return " ".join(str(error).split())


def _implementations(plugin: Any) -> Iterator[tuple[str, str, list[str]]]:
    """Of each: the function's name, the hook's, and the parameters that must be given."""
    for function in dir(plugin):
        value: Any = getattr(plugin, function, None)
        options = getattr(value, f"{PROJECT}_impl", None)
        if isinstance(options, dict) and not options.get("optionalhook"):
            parameters = inspect.signature(value).parameters.values()
            required = [
                p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            ]
            yield function, options.get("specname") or function, required


def _nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"{otherwise}: {', '.join(known)}."
