"""Plugins: what they may implement (`specs`), how they are loaded (`loading`) and told what happens (`announcing`).

    from durable_core.hooks import hookimpl

    @hookimpl
    def durable_worker_started(worker): ...

Who calls hooks asks an `Announcer`; nothing else calls them.
"""

from durable_core.hooks.announcing import SILENT, Announcer, News, blame_of
from durable_core.hooks.loading import DISABLE, BrokenPlugin, Kind, Plugin, Plugins, load
from durable_core.hooks.offers import Backends, Offer
from durable_core.hooks.specs import HOOKS, ActivityCall, Register, RunEvent, Specs, hookimpl

__all__ = [
    "DISABLE",
    "HOOKS",
    "SILENT",
    "ActivityCall",
    "Announcer",
    "Backends",
    "BrokenPlugin",
    "Kind",
    "News",
    "Offer",
    "Plugin",
    "Plugins",
    "Register",
    "RunEvent",
    "Specs",
    "blame_of",
    "hookimpl",
    "load",
]
