"""AES-GCM: nobody reads a payload without its key, changes it, or moves it to another row, without that being seen."""

from __future__ import annotations

import os
import re
from base64 import b64decode, urlsafe_b64decode
from binascii import Error as NoBase64
from typing import TYPE_CHECKING, Any

from durable_core.errors import ConfigurationError, PayloadSealed

if TYPE_CHECKING:
    from collections.abc import Mapping

NONCE = 12  # bytes; what the mode was made for
LENGTHS = (16, 24, 32)  # bytes of a key: AES-128, -192, -256
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
INSTALL = "pip install 'durable-django[crypto]'"


class AesGcmCodec:
    """*keys*: by their ids, 32 bytes each, or base64 of them; *key*: the id of that which seals from now on, or None.

    All of them open what they have sealed; with None, nothing more is sealed. The id stands beside what is sealed; it
    is authenticated with the text and the row that this is for. Needs the package ``cryptography``.
    """

    name = "aesgcm"

    def __init__(self, *, keys: Mapping[Any, Any], key: str | None) -> None:
        ciphers = _import()
        if not keys or (key is not None and key not in keys):
            raise ConfigurationError(
                f"AesGcmCodec got key={key!r}, which its keys do not have: expected keys={{'2026-01': <32 bytes, or "
                "base64 of them>}, key='2026-01'."
            )
        for key_id in keys:
            if not isinstance(key_id, str) or not KEY_ID.fullmatch(key_id):
                raise ConfigurationError(
                    f"AesGcmCodec got a key with the id {key_id!r}; expected up to 64 letters, digits, '.', '_', '-'."
                )
        self._key = key
        self._ciphers = {key_id: ciphers(_bytes_of(key_id, secret)) for key_id, secret in keys.items()}

    def __repr__(self) -> str:
        return f"<AesGcmCodec with keys {', '.join(sorted(self._ciphers))}>"

    def encode(self, data: bytes, place: bytes) -> bytes | None:
        if self._key is None:
            return None
        nonce = os.urandom(NONCE)
        head = self._key.encode() + b":"
        return head + nonce + bytes(self._ciphers[self._key].encrypt(nonce, data, head + place))

    def decode(self, data: bytes, place: bytes) -> bytes:
        key_id, colon, rest = data.partition(b":")
        name = key_id.decode("ascii", "replace")
        if not colon or not KEY_ID.fullmatch(name):
            raise PayloadSealed("it is damaged: no id of a key stands before it")
        cipher = self._ciphers.get(name)
        if cipher is None:
            known = ", ".join(repr(known) for known in sorted(self._ciphers))
            raise PayloadSealed(f"it was sealed with the key {name!r}, which is not here: {known} is")
        try:
            return bytes(cipher.decrypt(rest[:NONCE], rest[NONCE:], key_id + colon + place))
        except Exception:  # noqa: BLE001 - of cryptography, for whatever is wrong with it
            raise PayloadSealed(
                f"it does not fit the key {name!r} and its row: another key has this id here, or somebody has changed "
                "it or put it there from another row"
            ) from None


def _import() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigurationError(f"AesGcmCodec needs the package cryptography ({error}): {INSTALL}") from None
    return AESGCM


def _bytes_of(key_id: str, secret: str | bytes) -> bytes:
    """A key is not quoted in errors, however wrong it is."""
    if isinstance(secret, str):
        try:
            found = urlsafe_b64decode(secret) if {"-", "_"} & set(secret) else b64decode(secret, validate=True)
        except (NoBase64, ValueError):
            raise ConfigurationError(f"the key {key_id!r} of AesGcmCodec is no base64: expected 32 bytes.") from None
    else:
        found = bytes(secret)
    if len(found) not in LENGTHS:
        raise ConfigurationError(f"the key {key_id!r} of AesGcmCodec has {len(found)} bytes: expected 32.")
    return found
