"""Events on disk: what memory should not hold, and what must survive the process.

In come built events; out come the same events, leased to one process at a time.
"""
