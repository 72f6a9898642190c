"""What the memory tests share with those of servers."""

from servers.noting import noted_for_the_table

__all__ = ["noted_for_the_table"]
