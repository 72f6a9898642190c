"""Would PostgreSQL's index on `path` take this value? An estimate for paths that are very long.

A B-tree entry holds at most 2,704 bytes. PostgreSQL first tries to compress a value with its LZ method (pglz); of a
path that does not compress, about 2,690 bytes fit, of `/aaaa…` far more. The size after compression is estimated here
with the same code lengths (a literal: 1 byte, a match of 3 … 273 bytes within the last 4,095: 2 or 3 bytes, a control
byte per eight of these) and the longest match at each place. PostgreSQL searches less thoroughly, so that a
compressible path near the limit may fit here and not there; for one that does not compress the limit is exact.
"""

from __future__ import annotations

_ENTRY_BYTES = 2704
_ENTRY_HEADER = 8 + 4  # the index entry's own header, and the length word of the value
_COMPRESSED_HEADER = 4  # the size before compression
_ALIGNMENT = 8
_WINDOW = 4095
_SHORTEST, _LONGEST = 3, 273
_LONGEST_IN_TWO_BYTES = 17
_WORTHWHILE = 0.75  # pglz keeps the original unless at least a quarter is saved


def fits_index(path: str) -> bool:
    """Tell whether an event with this path can be saved as far as the index on it is concerned."""
    if len(path) * 4 <= _ENTRY_BYTES - _ENTRY_HEADER:
        return True  # nearly all paths, without encoding them
    raw = path.encode("utf-8", "surrogatepass")
    if _entry(len(raw)) <= _ENTRY_BYTES:
        return True
    return _entry(_compressed_size(raw) + _COMPRESSED_HEADER) <= _ENTRY_BYTES


def _entry(value_bytes: int) -> int:
    return -(-(value_bytes + _ENTRY_HEADER) // _ALIGNMENT) * _ALIGNMENT


def _compressed_size(raw: bytes) -> int:
    """Estimate the size after compression; stops counting when it is too large anyway, so that any input is quick."""
    size = items = position = 0
    while position < len(raw) and size < _ENTRY_BYTES:
        length = _longest_match(raw, position)
        if not length:
            size, position = size + 1, position + 1
        else:
            size += 2 if length <= _LONGEST_IN_TWO_BYTES else 3
            position += length
        items += 1
    size += -(-items // 8)
    return size if size <= len(raw) * _WORTHWHILE else len(raw)


def _longest_match(raw: bytes, position: int) -> int:
    """Return the length of the longest piece here that also begins in the window before; 0 when it is below three."""
    start = max(0, position - _WINDOW)

    def occurs(length: int) -> bool:
        return raw.find(raw[position : position + length], start, position + length - 1) >= 0

    shortest, longest = _SHORTEST - 1, min(_LONGEST, len(raw) - position)
    if longest < _SHORTEST or not occurs(_SHORTEST):
        return 0
    while shortest < longest:  # when a piece occurs, so do its beginnings
        middle = (shortest + longest + 1) // 2
        if occurs(middle):
            shortest = middle
        else:
            longest = middle - 1
    return shortest
