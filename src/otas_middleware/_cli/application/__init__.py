"""A user's application as a tool sees it: loaded as its server loads it, with our middleware found in it."""

from otas_middleware._cli.application.load import ApplicationError
from otas_middleware._cli.application.subject import Kind, Source, Subject, read
from otas_middleware._cli.application.values import masked

__all__ = ["ApplicationError", "Kind", "Source", "Subject", "masked", "read"]
