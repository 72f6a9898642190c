"""A user's application as a tool sees it: loaded as its server loads it, with our middleware found in it."""

from otas_middleware._cli.application.load import ApplicationError, masked
from otas_middleware._cli.application.subject import Kind, Source, Subject, read

__all__ = ["ApplicationError", "Kind", "Source", "Subject", "masked", "read"]
