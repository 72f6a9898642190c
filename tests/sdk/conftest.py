"""The fixtures of the agent's tests, for SDKs."""

from agent.conftest import inside, record, session

__all__ = ["inside", "record", "session"]
