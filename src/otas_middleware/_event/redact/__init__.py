"""Secrets out, as the last step before an event leaves the process.

In come the texts and values of an event (`Masker`, one for each event; `Redactor`, one for each set of settings); out
they go with the secrets masked. A value is masked because of the name that it stands under, or of its own shape. Each
rule stands once, among those of its kind:

| rules of this kind | are in |
|---|---|
| names that are sensitive, that only sound so, and that say what form their value has | `sensitive_names` |
| forms of values that stay readable under such names | `forms` |
| keys that are known by how they begin, by a pattern, by a path | `service_keys` |
| other shapes of secrets: private keys, tokens, credentials in URLs and headers, cards | `shapes` |
| messages, SQL, command lines by their programs, files | `messages` |
| what stands between name and value but `:` and `=`: options, calls, directives, prose | `arguments` |

The rest looks for names and values by these rules: `name_rules` says what a name means; `named` finds names in any
text, `named_value` what belongs to them, `spans` where that ends; `labels`, `markup` and `tables` know where names and
values stand otherwise; `values` walks objects. Texts in texts are undone by `encodings` (escapes, percent-encoding,
base64, JSON Web Tokens) and `json_text`.

One probe of the whole text (`_event.patterns`) tells whether there is anything to look for; only then is it looked
through. It imports little else of the package: the settings, the event's model, what has members by name.
"""

from otas_middleware._event.redact.mask import MASK, UNREADABLE
from otas_middleware._event.redact.masker import UNTOUCHED, Masker, Untouched
from otas_middleware._event.redact.redactor import Redactor, redactor_for

__all__ = ["MASK", "UNREADABLE", "UNTOUCHED", "Masker", "Redactor", "Untouched", "redactor_for"]
