"""A text into what its column holds, and back."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar, cast

from durable_core.codec import MARK, Unopened, decode, encode
from durable_core.errors import ConfigurationError, DurableError, PayloadSealed, StoreUnavailable
from durable_core.failures import invented

if TYPE_CHECKING:
    from durable_core.sealing.codecs import PayloadCodec
    from durable_core.sealing.payload_store import PayloadStore

NAME = re.compile(r"[a-z0-9-]{1,32}")
ELSEWHERE = "ref"  # instead of the names of codecs: what follows is the key of the text in the payload store
THRESHOLD = 64_000  # bytes in a row, from which on a text goes to the payload store
SEALED = "$sealed"  # the only key of a record of a failure that is sealed
REFERENCE = re.compile(rf"{ELSEWHERE}:([0-9a-f]{{64}})")

T = TypeVar("T", bound=str)


class Sealer:
    """*codecs* encode in their order, and decode in the reverse of it. Safe to share between threads.

    A text that no codec does anything to stays as it is. One that then has over *threshold* bytes goes to *elsewhere*.
    """

    def __init__(
        self, codecs: Sequence[PayloadCodec], elsewhere: PayloadStore | None = None, *, threshold: int = THRESHOLD
    ) -> None:
        names = [codec.name for codec in codecs]
        for name in names:
            if not NAME.fullmatch(name) or name == ELSEWHERE or names.count(name) > 1:
                raise ConfigurationError(
                    f"DURABLE['CODECS'] has a codec named {name!r}; expected names of lower case letters, digits and "
                    f"hyphens, each once, and not {ELSEWHERE!r}."
                )
        self._codecs = tuple(codecs)
        self._by_name = {codec.name: codec for codec in codecs}
        self.elsewhere = elsewhere
        self._threshold = threshold

    # Texts

    def seal(self, text: T, place: bytes) -> T:
        """Raises `PayloadSealed` for a text with something in it that could not be opened: it could never be again."""
        if MARK in text:
            raise PayloadSealed("what could not be opened cannot be written to another row")
        body = self._encoded(text, place)
        stored = text if body is None else f'{MARK}{body}"'
        if self.elsewhere is not None and len(stored) > self._threshold:
            stored = f'{MARK}{self._put(stored)}"'
        return cast("T", stored)

    def open(self, text: T, place: bytes) -> T:
        """What was sealed for this *place*; an `Unopened` where that cannot be."""
        if not text.startswith(MARK):
            return text
        try:
            return cast("T", self._opened(text[len(MARK) : -1], place))
        except PayloadSealed as error:
            return cast("T", Unopened.of(text, str(error)))

    def seal_or_none(self, text: T | None, place: bytes) -> T | None:
        return None if text is None else self.seal(text, place)

    def open_or_none(self, text: T | None, place: bytes) -> T | None:
        return None if text is None else self.open(text, place)

    # Records of failures, which stores keep as objects

    def seal_failure(self, failure: Mapping[str, Any] | None, place: bytes) -> Mapping[str, Any] | None:
        if failure is None:
            return None
        stored = self.seal(encode(dict(failure), limit=2**62), place)
        return {SEALED: stored[len(MARK) : -1]} if stored.startswith(MARK) else failure

    def open_failure(self, failure: Mapping[str, Any] | None, place: bytes) -> Mapping[str, Any] | None:
        """Where it cannot be opened, a record that says so."""
        if failure is None or SEALED not in failure:
            return failure
        try:
            found: Mapping[str, Any] = decode(self._opened(failure[SEALED], place))
        except PayloadSealed as error:
            return invented("PayloadSealed", str(error))
        return found

    # Plain text, such as of an error

    def open_words(self, text: str, place: bytes) -> str:
        """Where it cannot be opened, words that say so."""
        found = self.open(text, place)
        return f"PayloadSealed: {found.why}" if isinstance(found, Unopened) else found

    # Inside

    def _encoded(self, text: str, place: bytes) -> str | None:
        """What stands behind the mark; None: no codec does anything to it."""
        data, done = text.encode("utf-8", "surrogatepass"), ""
        for codec in self._codecs:
            try:
                changed = codec.encode(data, _bound(place, done))
            except DurableError:
                raise
            except Exception as error:  # it may ask a server for its key
                what = f"codec {codec.name!r} could not encode: {type(error).__name__}"
                raise StoreUnavailable(what, ambiguous=False) from error
            if changed is not None:
                data, done = changed, f"{done}+{codec.name}" if done else codec.name
        return f"{done}:{b64encode(data).decode()}" if done else None

    def _opened(self, body: str, place: bytes) -> str:
        names, colon, rest = body.partition(":")
        if not colon:
            raise PayloadSealed("it is damaged: nothing says how it was sealed")
        if names == ELSEWHERE:
            text = self._got(rest)
            if not text.startswith(MARK):
                return text
            names, _, rest = text[len(MARK) : -1].partition(":")
        try:
            data = b64decode(rest, validate=True)
        except (NoBase64, ValueError):
            raise PayloadSealed("it is damaged: it is no base64") from None
        done = names.split("+")
        while done:
            name = done.pop()
            codec = self._by_name.get(name)
            if codec is None:
                raise PayloadSealed(f"it was sealed by a codec {name!r}, which DURABLE['CODECS'] does not have here")
            try:
                data = codec.decode(data, _bound(place, "+".join(done)))
            except PayloadSealed:
                raise
            except Exception as error:
                raise PayloadSealed(f"codec {name!r} could not decode it: {type(error).__name__}") from error
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise PayloadSealed("it is damaged: it is no text") from None

    def _put(self, stored: str) -> str:
        assert self.elsewhere is not None
        data = stored.encode("utf-8", "surrogatepass")
        key = sha256(data).hexdigest()
        try:
            self.elsewhere.put(key, data)
        except OSError as error:
            what = f"the payload store does not take {len(data):,} bytes: {type(error).__name__}: {error.strerror}"
            raise StoreUnavailable(what, ambiguous=False) from error
        return f"{ELSEWHERE}:{key}"

    def _got(self, key: str) -> str:
        if self.elsewhere is None:
            raise PayloadSealed("it is in a payload store, and DURABLE['PAYLOAD_STORE'] is not set here")
        if not REFERENCE.fullmatch(f"{ELSEWHERE}:{key}"):
            raise PayloadSealed("it is damaged: that is no key of a payload store")
        try:
            data = self.elsewhere.get(key)
        except OSError as error:
            raise PayloadSealed(f"the payload store does not answer: {type(error).__name__}") from error
        if data is None:
            raise PayloadSealed(f"the payload store has no {key}: put it back, from a backup for instance")
        if sha256(data).hexdigest() != key:
            raise PayloadSealed(f"what the payload store has as {key} is something else: put it back")
        return data.decode("utf-8", "surrogatepass")


def _bound(place: bytes, done: str) -> bytes:
    """A text is bound to its row, and to what was done to it before."""
    return place + b"|" + done.encode()
