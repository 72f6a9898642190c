"""The HTTP client library, under the one name that the rest of the package uses.

`httpx2` is the maintained continuation of `httpx` and has the same API; where only the older one is installed it serves
as well. Importing this module is heavy (some 100 ms), so it happens in the worker or where the user asks for a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    try:
        import httpx2 as httpx
    except ModuleNotFoundError:
        import httpx

__all__ = ["httpx"]
