"""The three audio formats of the wire (openai-realtime.md §3.3) to and from the double's own μ-law. Pure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache

from emulators.openai.wire import JsonObject
from emulators.sound import MULAW_RATE_HZ, decode_mulaw, encode_mulaw, read_pcm, resample, write_pcm

_PCM_RATE_HZ = 24000
_PCM_BYTES_PER_MULAW_BYTE = 6  # 24 kHz of 2 bytes against 8 kHz of one


def _expand_alaw(code: int) -> int:
    code ^= 0x55
    segment, step = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = step + 8 if segment == 0 else (step + 0x108) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


_ALAW = tuple(_expand_alaw(code) for code in range(256))
_ALAW_TO_MULAW = encode_mulaw(_ALAW)
# On a tie the positive code: silence is 0xD5 (§9.5), not 0x55.
_MULAW_TO_ALAW = bytes(
    min(range(256), key=lambda code: (abs(_ALAW[code] - sample), -code)) for sample in decode_mulaw(bytes(range(256)))
)


@lru_cache(maxsize=64)  # 24 kHz sound is large and slow to make; the same sentences come again
def _widen(mulaw: bytes) -> bytes:
    return write_pcm(resample(decode_mulaw(mulaw), from_hz=MULAW_RATE_HZ, to_hz=_PCM_RATE_HZ))


@dataclass(frozen=True, slots=True)
class OutputFormat:
    type: str

    def describe(self) -> JsonObject:
        return {"type": self.type, "rate": _PCM_RATE_HZ} if self.type == "audio/pcm" else {"type": self.type}

    async def encode_soon(self, mulaw: bytes) -> bytes:
        if self.type == "audio/pcm":
            return await asyncio.to_thread(_widen, mulaw)
        return self.encode(mulaw)

    def encode(self, mulaw: bytes) -> bytes:
        if self.type == "audio/pcm":
            return _widen(mulaw)
        return mulaw.translate(_MULAW_TO_ALAW) if self.type == "audio/pcma" else mulaw

    def cut(self, encoded: bytes, start: int, end: int) -> bytes:
        """The encoded bytes of the μ-law range."""
        scale = _PCM_BYTES_PER_MULAW_BYTE if self.type == "audio/pcm" else 1
        return encoded[start * scale : end * scale]


class InputDecoder:
    """Appended bytes of the session's input format as μ-law; what is no whole sample yet waits for the next append."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes, *, type: str) -> bytes:  # noqa: A002 - the wire's own word
        if type == "audio/pcmu":
            return data
        if type == "audio/pcma":
            return data.translate(_ALAW_TO_MULAW)
        data = self._rest + data
        whole = len(data) - len(data) % _PCM_BYTES_PER_MULAW_BYTE
        self._rest = data[whole:]
        samples = read_pcm(data[:whole])
        # A mean of three is low-pass enough to find speech; it is not what a caller would want to listen to.
        triples = zip(samples[::3], samples[1::3], samples[2::3], strict=True)
        return encode_mulaw((a + b + c) // 3 for a, b, c in triples)
