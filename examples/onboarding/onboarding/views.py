"""What a browser can watch."""

import json

from django.http import StreamingHttpResponse

from django_durable import aread_stream


async def import_events(request, execution_id):
    """How far the import of contacts is, for an `EventSource`; goes on where it was when it connects again."""

    async def lines():
        async for item in aread_stream(execution_id, "import", after=request.headers.get("Last-Event-ID")):
            yield f"id: {item.cursor}\ndata: {json.dumps(item.item)}\n\n"
        yield "event: end\ndata: null\n\n"

    return StreamingHttpResponse(lines(), content_type="text/event-stream")
