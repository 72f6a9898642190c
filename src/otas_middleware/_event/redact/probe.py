"""One pass over a text that tells whether there is anything to look for in it.

Most bodies hold nothing sensitive. The regular expressions of pydantic's core (Rust's `regex` crate: linear time
whatever the input, about 2 ns a byte whatever the pattern) find that out some ten times faster than `re` would, and
the text is then left exactly as it is. A probe may say yes too often, and must never say no wrongly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, StringConstraints, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

_LINEAR = ConfigDict(regex_engine="rust-regex")


def probe(*sources: str) -> Callable[[str], bool]:
    """Return a function that tells whether any of the patterns occurs in a text.

    Args:
        sources: Patterns in the syntax of Rust's `regex` crate (no look-around, no back-references).

    Returns:
        The function. Its argument must be encodable as UTF-8: a text with a lone surrogate is answered `False`.
    """
    constrained = Annotated[str, StringConstraints(pattern="|".join(sources), strict=True)]
    return TypeAdapter(constrained, config=_LINEAR).validator.isinstance_python
