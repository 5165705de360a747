"""What code lets others read while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_core import commands as c
from durable_core.codec import encode
from durable_core.options import check_name

if TYPE_CHECKING:
    from durable_core.engine import Engine


def set_event(engine: Engine, key: str, value: Any) -> None:
    """Raises `ConfigurationError` or `PayloadError`; nothing has happened then."""
    check_name(key, "the key of ctx.set_event()")
    payload = encode(value, what=f"the value of event {key!r}", limit=engine.payload_limit)
    engine.issue(c.SetEvent(call_id=engine.next_call_id(), key=key, value=payload))


def publish(engine: Engine, item: Any, stream: str) -> None:
    """Raises `ConfigurationError` or `PayloadError`; nothing has happened then."""
    check_name(stream, "the stream of ctx.publish()")
    payload = encode(item, what=f"an item for stream {stream!r}", limit=engine.payload_limit)
    engine.issue(c.PublishItem(call_id=engine.next_call_id(), stream=stream, item=payload))
