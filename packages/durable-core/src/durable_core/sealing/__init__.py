"""How payloads are stored, where a project wants more than JSON text: compressed, encrypted, in a store of their own.

    codecs         what makes other bytes of a text, and back: the protocol, and zlib
    encryption     AES-GCM, with keys that can be changed
    payload_store  where long texts go: the protocol, and files
    places         which row a sealed text is for
    sealer         a text into what its column holds, and back
    sealed_store   a store whose callers see plain texts, and whose tables hold sealed ones
    rows           the same of records, one by one

What is sealed is a JSON string that begins with `codec.MARK`, so that sealed and plain rows live side by side. It is
opened where it is read from the store. What cannot be opened there stays sealed, and whoever needs it is told why: a
run that cannot be read is BLOCKED, and the others go on.
"""

from durable_core.sealing.codecs import PayloadCodec, ZlibCodec
from durable_core.sealing.encryption import AesGcmCodec
from durable_core.sealing.payload_store import FilePayloadStore, PayloadStore
from durable_core.sealing.sealed_store import SealedStore
from durable_core.sealing.sealer import Sealer

__all__ = [
    "AesGcmCodec",
    "FilePayloadStore",
    "PayloadCodec",
    "PayloadStore",
    "SealedStore",
    "Sealer",
    "ZlibCodec",
]
