"""Knows what a caller said without hearing: clips are registered with their text and found again by their bytes. Pure.

A clip is found although it was cut into other frames, padded, or lost parts on the way, because many short pieces of it
are looked for on their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from emulators.sound import MULAW_BYTES_PER_MS

_PIECE_BYTES = 32  # 4 ms: long enough to be one clip's own, short enough to survive a lost frame
_DISTINCT_BYTES = 10  # a piece with fewer different bytes is near silence and proves nothing
_PROBE_BYTES = 40 * MULAW_BYTES_PER_MS  # how often the heard audio is looked at
_WHOLE_SHARE = 0.8  # of a clip's span, from which on the whole text counts as heard
_MIN_PROBES = 2
_SNAP_WORDS = 2  # how far a partial text may be moved to end where a clause ends
_CLAUSE_ENDS = (".", ",", "?", "!", ";", ":", "…")


@dataclass(frozen=True, slots=True)
class Clip:
    text: str
    audio: bytes


@dataclass(slots=True)
class _Finding:
    clip: Clip
    first: int  # byte offsets inside the clip
    last: int
    probes: int


class Hearing:
    def __init__(self, *, unheard_text: str = "") -> None:
        self.clips: list[Clip] = []
        self._unheard_text = unheard_text
        self._pieces: dict[bytes, list[tuple[int, int]]] = {}

    def register(self, audio: bytes, text: str) -> None:
        """Call this before the clip is played. The same clip with another text replaces the first."""
        self.clips = [clip for clip in self.clips if clip.audio != audio]
        self.clips.append(Clip(text, audio))
        self._pieces = {}
        for number, clip in enumerate(self.clips):
            self._index(number, clip)

    def recognise(self, heard: bytes) -> str:
        """The texts of the clips inside the audio, in order; part of a text when only part of its clip is there."""
        findings: list[_Finding] = []
        for start in range(0, len(heard) - _PIECE_BYTES + 1, _PROBE_BYTES):
            found = self._probe(heard, start, findings[-1] if findings else None)
            if found is None:
                continue
            number, offset = found
            clip = self.clips[number]
            last = findings[-1] if findings else None
            if last is not None and last.clip is clip and offset >= last.last:
                last.last, last.probes = offset, last.probes + 1
            else:
                findings.append(_Finding(clip, offset, offset, 1))
        sure = [finding for finding in findings if finding.probes >= _MIN_PROBES]
        return " ".join(_take_part(finding) for finding in sure) if sure else self._unheard_text

    def _index(self, number: int, clip: Clip) -> None:
        for offset in range(0, len(clip.audio) - _PIECE_BYTES + 1, _PIECE_BYTES):
            piece = clip.audio[offset : offset + _PIECE_BYTES]
            if len(set(piece)) >= _DISTINCT_BYTES:
                self._pieces.setdefault(piece, []).append((number, offset))

    def _probe(self, heard: bytes, start: int, last: _Finding | None) -> tuple[int, int] | None:
        """The clip that is audible at this place: one of the next 32 positions must be a piece's beginning."""
        for at in range(start, min(start + _PIECE_BYTES, len(heard) - _PIECE_BYTES + 1)):
            owners = self._pieces.get(heard[at : at + _PIECE_BYTES])
            if owners is None:
                continue
            if last is not None:  # a piece that several clips share belongs to the one that is going on
                for number, offset in owners:
                    if self.clips[number] is last.clip and offset >= last.last:
                        return number, offset
            return Counter(owners).most_common(1)[0][0]
        return None


def _take_part(finding: _Finding) -> str:
    clip, length = finding.clip, len(finding.clip.audio)
    heard_share = (finding.last - finding.first + 2 * _PROBE_BYTES) / length
    if heard_share >= _WHOLE_SHARE:
        return clip.text
    words = clip.text.split()
    first = _snap(words, round(len(words) * max(0, finding.first - _PROBE_BYTES) / length))
    last = _snap(words, round(len(words) * min(length, finding.last + _PROBE_BYTES) / length))
    return " ".join(words[first : max(last, first + 1)])


def _snap(words: list[str], count: int) -> int:
    """Pauses are where clauses end, and turns are cut at pauses: the nearest clause end is the likelier place."""
    if count == 0:
        return 0
    for distance in range(_SNAP_WORDS + 1):
        for place in (count - distance, count + distance):
            if 0 < place <= len(words) and words[place - 1].endswith(_CLAUSE_ENDS):
                return place
    return min(count, len(words))
