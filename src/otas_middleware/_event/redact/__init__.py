"""Secrets out, as the last step before an event leaves the process.

A value is masked because of the name that it stands under (the table is `sensitive_names`, what it says of a name
`name_rules`), or because of its own shape (`shapes`, `service_keys`, `cards`). One probe of the whole text (`probe`)
tells whether there is anything to look for; only then is it looked through.
"""

from otas_middleware._event.redact.mask import MASK, UNREADABLE
from otas_middleware._event.redact.masker import UNTOUCHED, Masker, Untouched
from otas_middleware._event.redact.redactor import Redactor, redactor_for

__all__ = ["MASK", "UNREADABLE", "UNTOUCHED", "Masker", "Redactor", "Untouched", "redactor_for"]
