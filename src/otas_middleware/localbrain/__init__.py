"""The local Brain: what `otas-middleware brain` runs, and what tests run in their own process."""

from otas_middleware._errors import MissingExtraError

try:
    from otas_middleware.localbrain.server import LocalBrain
except ModuleNotFoundError as error:
    if error.name not in {"starlette", "uvicorn"}:
        raise
    raise MissingExtraError("The local Brain", "brain") from None
from otas_middleware.localbrain.faults import Fault, Faults, Mode
from otas_middleware.localbrain.schema import AgnostEvent, AgnostSession, StoredEvent, StoredSession

__all__ = ["AgnostEvent", "AgnostSession", "Fault", "Faults", "LocalBrain", "Mode", "StoredEvent", "StoredSession"]
