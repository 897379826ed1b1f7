"""The kind of a coded picture (I, P or B) from the first bytes of its packet, without decoding it.

What is read: H.264 (ITU-T H.264, 7.3.1 and 7.3.3), MPEG-4 Part 2 (ISO/IEC 14496-2, 6.2.5), MPEG-1 and 2 (ISO/IEC
13818-2, 6.2.3), H.263 (ITU-T H.263, 5.1). The other codecs whose vectors FFmpeg exports know no B-pictures, and their
container says which are I.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["I", "P", "B"]

MPEG_CODECS = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
CODECS_WITHOUT_B = frozenset({"flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2"})
CODECS = frozenset({"h264", "h263"}) | MPEG_CODECS | CODECS_WITHOUT_B
"""Codecs whose motion vectors FFmpeg exports, by its names."""

_MPEG_KINDS: dict[int, Kind] = {1: "I", 2: "P", 3: "B"}
_MPEG4_KINDS: tuple[Kind, ...] = ("I", "P", "B", "P")
"""The last is a sprite, predicted as P is."""
_START_CODE = b"\x00\x00\x01"
_MPEG_PICTURE, _MPEG4_PICTURE = 0x00, 0xB6
_SLICE_UNITS = (1, 2, 5)
"""NAL unit types that begin with a slice header: of any picture, of its partition A, of an IDR picture."""
_SLICE_KINDS: tuple[Kind, ...] = ("P", "B", "I", "P", "I")
_H263_EXTENDED, _H263_OPTIONS_BITS = 7, 18
_MOST_HEADER_BYTES = 32
"""A slice header begins with two Exp-Golomb numbers, of at most 63 bits each."""


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """What a packet holds."""

    kind: Kind
    is_reference: bool
    """False where no other picture refers to it, so that it need not be decoded."""


def coded_picture(codec: str, data: memoryview, *, is_key: bool, length_bytes: int = 0) -> CodedPicture | None:
    """What `data`, one packet, holds; None where no picture begins in it.

    Args:
        codec: one of `CODECS`.
        is_key: whether the container marks the packet as a key frame.
        length_bytes: H.264 in MP4 and Matroska: bytes of the length before every unit (`nal_length_bytes`); 0 for start
            codes.
    """
    if codec == "h264":
        return _h264_picture(data, length_bytes)
    if codec in MPEG_CODECS:
        kind = _mpeg_kind(codec, bytes(data))
        return CodedPicture(kind, kind != "B") if kind else None
    if codec == "h263":
        return CodedPicture(_h263_kind(data), True)
    return CodedPicture("I" if is_key else "P", True)


def nal_length_bytes(extradata: bytes | None) -> int:
    """Bytes of the length in front of every H.264 unit, from the stream's `avcC` record; 0 for start codes."""
    is_avcc = extradata is not None and len(extradata) > 4 and extradata[0] == 1
    return (extradata[4] & 3) + 1 if extradata is not None and is_avcc else 0


def _mpeg_kind(codec: str, data: bytes) -> Kind | None:
    marker = _START_CODE + bytes([_MPEG4_PICTURE if codec == "mpeg4" else _MPEG_PICTURE])
    at = data.find(marker) + len(marker)
    if at < len(marker) or at + 1 >= len(data):
        return None
    if codec == "mpeg4":
        return _MPEG4_KINDS[data[at] >> 6]
    return _MPEG_KINDS.get(data[at + 1] >> 3 & 7)  # behind ten bits of place in display order


def _h263_kind(data: memoryview) -> Kind:
    """Pictures of the extensions other than I (improved PB, EI, EP) are written by no encoder in use."""
    bits = _Bits(bytes(data[:_MOST_HEADER_BYTES]))
    if bits.number(35, 3) != _H263_EXTENDED:
        return "P" if bits.number(38, 1) else "I"
    kind_at = 41 + (_H263_OPTIONS_BITS if bits.number(38, 3) == 1 else 0)
    return "P" if bits.number(kind_at, 3) else "I"


def _h264_picture(data: memoryview, length_bytes: int) -> CodedPicture | None:
    """By its first slice; the slices of a picture may differ in kind, but not as encoders in use write them."""
    for start in _units_with_length(data, length_bytes) if length_bytes else _units_with_start_code(bytes(data)):
        if start < len(data) and data[start] & 31 in _SLICE_UNITS:
            header = bytes(data[start + 1 : start + 1 + _MOST_HEADER_BYTES])
            bits = _Bits(header.replace(b"\x00\x00\x03", b"\x00\x00"))  # without the bytes against false start codes
            bits.exp_golomb()  # the first macroblock
            return CodedPicture(_SLICE_KINDS[bits.exp_golomb() % 5], bool(data[start] >> 5 & 3))
    return None


def _units_with_length(data: memoryview, length_bytes: int) -> Iterator[int]:
    at = 0
    while at + length_bytes < len(data):
        yield at + length_bytes
        at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")


def _units_with_start_code(data: bytes) -> Iterator[int]:
    at = data.find(_START_CODE)
    while at >= 0:
        yield at + len(_START_CODE)
        at = data.find(_START_CODE, at + len(_START_CODE))


class _Bits:
    """Bits of a header, those of a byte from the highest on."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def number(self, at: int, count: int) -> int:
        """`count` bits from bit `at` on; those behind the end are 0."""
        return int(self._bits[at : at + count].ljust(count, "0"), 2)

    def exp_golomb(self) -> int:
        """An unsigned Exp-Golomb number (9.1); 0 behind the end."""
        one = self._bits.find("1", self._at)
        if one < 0:
            return 0
        end = 2 * one - self._at + 1
        number = int(self._bits[one:end], 2) - 1
        self._at = end
        return number
