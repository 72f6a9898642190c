"""Secrets out, as the last step before an event leaves the process.

In come the texts and values of an event (`Masker`, one for each event; `Redactor`, one for each set of settings); out
they go with the secrets masked. A value is masked because of the name that it stands under, or of its own shape:

- names: `sensitive_names` is the table, `name_rules` what it says of a name, `forms` which values stay readable;
- values under names: `named` finds the names in any text, `named_value` what belongs to them, `spans` where that ends;
  `labels`, `markup`, `tables`, `statements` and `messages` know where names and values stand
  otherwise, `values` walks objects;
- shapes: `shapes`, `service_keys`;
- texts in texts: `encodings` (escapes, percent-encoding, base64, JSON Web Tokens) and `json_text`.

One probe of the whole text (`_event.patterns`) tells whether there is anything to look for; only then is it looked
through. It imports little else of the package: the settings, the event's model, what has members by name.
"""

from otas_middleware._event.redact.mask import MASK, UNREADABLE
from otas_middleware._event.redact.masker import UNTOUCHED, Masker, Untouched
from otas_middleware._event.redact.redactor import Redactor, redactor_for

__all__ = ["MASK", "UNREADABLE", "UNTOUCHED", "Masker", "Redactor", "Untouched", "redactor_for"]
