"""Forms of values that are no secret, although their names sound like one: `password_changed_at`, `tokens`, `pass`.

A value is looked at as the text that a document shows. What has none of the forms that its name allows is masked, so
each of them is narrow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otas_middleware._event.patterns import compiled, probe
from otas_middleware._event.redact.sensitive_names import MESSAGE_WORDS
from otas_middleware._event.redact.service_keys import PUBLIC_KEY, REFERENCE
from otas_middleware._event.redact.spans import behind

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MESSAGE = 256
"""Characters of a text that may be a message; longer ones are values."""
_SHORTEST_CREDENTIAL = 16
_SHORTEST_TOLD = 6
_LONG = 20
_FEW = 12
_BETWEEN_LETTERS = re.compile(r"[A-Za-z]\d+[A-Za-z]")

_FLAG = re.compile(
    r"(?i:true|false|yes|no|on|off|none|null|undefined|nil|required|optional|enabled|disabled|include|omit|same-origin"
    r"|expired|revoked|missing|invalid|valid|unset|ok|failed|success|granted|denied|inherit|allow|deny|read|write|n/a|basic|bearer|digest|negotiate|ntlm|mtls|oauth|oauth2|oidc|saml|jwt|ldap|sso)"
)
_COUNT = re.compile(
    r"[+-]?\d{1,13}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?[%kKMG]?"  # a number
    r"|(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h|d|w|y))+"  # a duration: 6m0s
    r"|P(?:\d{1,5}[YMWD]){0,4}(?:T(?:\d{1,5}(?:\.\d{1,9})?[HMS]){1,3})?"  # ISO 8601's
    r"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z| ?[+-]\d\d:?\d\d)?)?"  # a date
    r"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
)
_PLAIN_NAME = r"[A-Za-z0-9_ .-]{1,64}"
_COUNTS_ONLY = compiled(
    rf"(?:[\s{{}}\[\],]|\\++[nrt]|(?P<escapes>\\*)\"{_PLAIN_NAME}(?P=escapes)\"(?:\s|\\++[nrt])*+:"
    r"|-?\d{1,13}(?:\.\d+)?(?![\w.])|null|true|false)*+"
)
_VERSION = re.compile(
    r"(?:[~^=v]|[<>]=?|==)?\d{1,3}\.\d{1,3}\.\d{1,3}(?:[-+.][0-9A-Za-z.]{1,16})?|[~^]\d{1,3}(?:\.\d{1,3})?"
)
_NUMBER = re.compile(r"(?:[\s:\[,]|\\[nrt])-?\d")
_LETTER = r"(?:[^\W\d_]++|['\u2019])"
_WORDS = re.compile(
    rf"[^\W\d_]{_LETTER}*[.,!?:;]?(?: (?:[^\W\d_](?:{_LETTER}|-)*|\d{{1,4}})[.,!?:;)]?)+"
    r"|\d{1,4} [^\W\d_]+(?: \w{1,12})*"
)
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}:)?//[\w.:\-\[\]]*(?:/[\w.~%/+{}:-]*)?(?:#[\w.-]{0,64})?|/[\w.~%/{}:-]*")
_PARTS = re.compile(r"[/#]")
_PATH = re.compile(r"(?:~|[A-Za-z]:)?(?:[/\\]+[\w.@ -]{1,64}){1,32}[/\\]*|\.{1,2}[/\\].{0,100}")
_SOURCE = re.compile(
    r"(?:def|fn|func|function|class|async|public|private|static|void|int|const|let|var)\b.*|.*[(].*[)].*|.*->.*"
)
_RESOURCE = re.compile(r"[A-Z]{2}(?:[0-9a-f]{32}|\d{1,8})")  # Twilio's
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.~+/=:%|-]{16,4096}")
_ODD = re.compile(r"[A-Za-z]\S*[0-9]|[0-9]\S*[A-Za-z]")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])")
_KEY_OF_OBJECT = re.compile(r"[a-z][a-z_-]{2,}/|.*/.*\.[a-z0-9]{2,5}$")
_SCHEMA = re.compile(
    r"\{\s*\\*\"(?:type|\$ref|\$schema|anyOf|oneOf|allOf|description|title|format|minLength|maxLength|nullable|readOnly"
    r"|writeOnly|required|properties|deprecated|x-[\w-]+|in|authorizationUrl|tokenUrl)\\*\"\s*:\s*(?![\s])"
)
_LISTED = re.compile(r"[\[,]\s*(?:\\*\")?([^\"\\\s,\[\]]{16,256})(?:\\*\")?(?=\s*[,\]])")
_SHOWN_VALUE = re.compile(r"\"(?:default|examples?|const|value)\\*\"\s*:\s*\[?\s*\\*\"([^\"\\]{16,256})")
_SCHEMA_TYPES = "string number integer boolean object array null apiKey http oauth2 openIdConnect mutualTLS"
_SCHEMA_SIGN = re.compile(
    r"\"(?:\$ref|anyOf|oneOf|allOf|properties|flows|authorizationUrl|tokenUrl)\\*\"\s*:"
    rf"|\"type\\*\"\s*:\s*(?:\[\s*)?\\*\"(?:{_SCHEMA_TYPES.replace(' ', '|')})\\*\""
)


def looks_random(text: str) -> bool:
    """Tell whether a text looks like a key that a machine made, and not like a name, a path, a number or an id.

    It is of 16 characters at least and one word, and in one of its pieces letters, capitals and digits change as often
    as they do by chance.
    """
    if _CREDENTIAL.fullmatch(text) is None or _UUID.fullmatch(text) or _KEY_OF_OBJECT.match(text):
        return False
    pieces = _PIECE.findall(text)
    longest = max(pieces, key=len, default="")
    changes = sum(1 for piece in pieces if len(piece) > 5 for _ in _CHANGE.finditer(piece))
    length = sum(len(piece) for piece in pieces if len(piece) > 5)
    digits = not longest.isalpha()
    if length < _SHORTEST_CREDENTIAL - 4:
        return False
    if digits and len(longest) >= _LONG and _BETWEEN_LETTERS.search(longest):
        return True
    if digits:
        return changes * 6 >= length or (len(longest) >= 32 and changes * 12 >= length)
    return len(longest) >= 20 and changes * 5 >= len(longest) * 2  # letters only, capitals all over


def is_odd(text: str) -> bool:
    """Tell whether there is a word with letters and digits in a text: others may be any sentence's."""
    return _ODD.search(text) is not None


_TECHNICAL = compiled(
    r"(?i:(?:(?:sha|cve|utf|rfc|erc|bep|aes|rsa)[-_]?\d{1,4}(?:[-.]\d{1,5})?|base\d\d(?:url)?|[rehp]s\d{3}|argon2(?:id?|d)?"
    r"|pbkdf2|ed25519|x\.?\d{3,5}|k8s|(?:http/?|oauth|tls|ssl|web|auth|md|s|v|p|totp)[-_]?\d(?:\.\d)*+"
    r"|\d{1,4}(?:bits?|bytes?|chars?|digits?|min|[hm]rs?|da?ys?|[xdhms]|th)?)(?:[-_/.][a-z]++\d{0,3}+)*+)"
    r"|(?:[a-z_]{1,16}|[A-Z_]{1,16})\d?\([\d, ]{1,16}\)?|(?:[\w-]++\.){2,8}[a-z]{2,12}"
)
"""Words with digits that prose about secrets has: `sha256-hashed`, `OAuth2`, `8-character`."""


def is_told(text: str, shortest: int = _SHORTEST_TOLD) -> bool:
    """Tell whether a word of prose, behind a name, is a password rather than the sentence's: `hunter2`."""
    return shortest <= len(text) <= LONGEST_MESSAGE and is_odd(text) and _TECHNICAL.fullmatch(text) is None


def _is_url(text: str) -> bool:
    return _URL.fullmatch(text) is not None and not any(map(looks_random, _PARTS.split(text)))


FORMS: dict[str, Callable[[str], Any]] = {
    "count": _COUNT.fullmatch,
    "plain": lambda text: not looks_random(text),
    "words": lambda text: _WORDS.fullmatch(text) and not _hides(text),
    "url": _is_url,
    "path": lambda text: _PATH.fullmatch(text) and not looks_random(text.strip("/")),
    "source": _SOURCE.fullmatch,
    "few_digits": lambda text: len(text) < _FEW and text.replace(".", "", 1).isalnum(),
    "resource": _RESOURCE.fullmatch,
}
"""Of texts and numbers. `members`, the form of an object that is looked into, is not among them."""


def readable(text: str, forms: frozenset[str]) -> bool:
    """Tell whether a value, as the text that a document shows, has one of the forms, or is a flag."""
    if len(text) > LONGEST_MESSAGE:  # a public key may be
        return text.startswith(("ssh-", "ecdsa-")) and _SHOWN.fullmatch(text) is not None
    return _SHOWN.fullmatch(text) is not None or any(FORMS[form](text) for form in forms if form in FORMS)


def readable_container(text: str, forms: frozenset[str]) -> bool:
    """Tell whether an object or list, as JSON, is a schema, or has a form that lets it be looked into."""
    if "members" in forms or "plain" in forms:
        return text[0] != "[" or not any(map(looks_random, set(_LISTED.findall(text))))
    if text[0] == "{" and "logprob" in text:  # what a model chose
        return True
    if text[0] == "[" and (_DESCRIBED.match(text) is not None or _is_complaints(text)):
        return not _hides(text)
    if _SCHEMA.match(text) is not None and _SCHEMA_SIGN.search(text, 0, 512) is not None:
        return not any(map(looks_random, _SHOWN_VALUE.findall(text)))
    flags = text[0] == "{" and _NUMBER.search(text) is None
    return (flags or "count" in forms) and _COUNTS_ONLY.fullmatch(text) is not None


_has_message_word = probe(rf"(?:^|[^A-Za-z0-9_'])(?i-u:{'|'.join(MESSAGE_WORDS)})(?:[^A-Za-z0-9_']|$)")
_MESSAGE = compiled(rf"[^\W\d_]{_LETTER}*+(?:[.!?]?[ ,;:/()-]++(?:{_LETTER}++|\d{{1,3}}))*+[.!?)]*")
_SENTENCE = re.compile(
    r"[\[\s\"']*(?:[A-Z][a-z]+(?:(?:[,.]? [\w'\u2019()-]+){2,}[.!]?|(?: [\w'\u2019()-]+)+[.!])"
    r"|(?:is|was|has|can't|cannot|must|should|does)(?: [\w'\u2019()-]+)+[.!]?)[\s\"'\]]*"
)
_TWO_WORDS = compiled(rf"{_LETTER}{{1,8}}+ {_LETTER}{{1,8}}+(?=[\s.,!?:;)\"'\\]|$)")
_SENTENCES = re.compile(r"(?<=[.!?])[ ]")
_LINE_END = re.compile(r"[\n\"\\]")
_may_hide = probe("[0-9]|[A-Za-z]{16}")
_WORD_OF_PROSE = re.compile(r"[^\s\"'`<>()\[\]{},;]+(?<![.!?:])")
_COMPLAINTS = re.compile(r"\[(?:\s*\\*\"[^\"\\]{1,256}\\*\"\s*,?)+\s*\]")
_COMPLAINT = re.compile(r"\"([^\"\\]+)\\*\"")
_PIECE_OF_TEXT = (
    r"(?:[▁Ġ \n]|\\+u(?:2581|0120)|\\+n|##)?(?:[A-Z]?(?:[^\W\d_A-Z]|'){0,16}|[A-Z]{1,4}|\d{1,3}|[^\w\s\"\\]{1,3})"
    r"(?:</w>|[ ])?"
)
_PIECES_OF_TEXT = compiled(rf"(?:[\s\[\],]|null|(?P<quote>\\*[\"']){_PIECE_OF_TEXT}(?P=quote))*+")
_DESCRIBED = re.compile(r"\[\s*\{\s*\\*\"(?:message|msg|code|error|detail)\\*\"\s*:")
_CODE_END = r"[;,)\]}]*(?=\s|\\+[nrt]|\\*[\"'`]|$)"
_MEMBER = (
    r"(?:\.[A-Za-z_]\w*|\[[^\]\n]{1,64}\])*(?:\([^()\n]{0,128}\))?(?:\.[A-Za-z_]\w{0,32}(?:\(\))?){0,4}" + _CODE_END
)
_SETTING = r"(?:self|os\.environ|os\.getenv|process\.env|import\.meta\.env|settings|request)(?=[.(\[])" + _MEMBER
_CODE = (
    r"(?:[A-Za-z_$]\w*[.?])*[A-Za-z_$]+\d{0,4}(?:\([^\n]{0,200}?\)(?:[?!]?\.[A-Za-z_]\w{0,32})*"
    + _CODE_END  # a call
    + r"|\((?=\r?\n|\\+[rn]))",  # the beginning of one
    r"(?:self|this|req|request|res|response|process|os|config|settings|ctx|context|data|body|args|params|props|state|env|user"
    r"|form|kwargs|options|opts|input|event|payload|cls|app|vars?|local|module|each|hashlib)(?=[.\[])" + _MEMBER,
    r"(?:str|string|String|int|Int|bool|boolean|Boolean|float|Float|number|Optional|SecretStr|bytes|any|Any|ID|UUID"
    r"|Date|DateTime|unknown|null|None|undefined)"
    r"(?:!|\?|\[[\w, ]{1,32}\]|\[\])?" + _CODE_END,  # a type
    r"Annotated\[[^\n]{1,128}\]" + _CODE_END,
    r"[A-Za-z_]{2,32}\[(?:[a-z_]{1,16}|\d{1,2})\]" + _CODE_END,  # an item
)
_PLACEHOLDERS = (
    r"\$\{[\w.:|\- ]{1,64}\}",
    r"\$\{\{[^{}\n]{1,128}\}\}",
    r"\{\{[^{}\n]{1,64}\}\}",
    r"%\(\w+\)s|%[sr](?=\W|$)",
    r"\$[A-Z_]{3,64}(?=\W|$)",
    r"%[A-Z_]{3,64}%|<%=[^%\n]{1,128}%>",
    r"(?i:your|insert|enter)[-_](?:[a-z]{2,16}[-_]){0,4}(?:key|token|secret|password|here|credentials?)(?=[\s\"'`,;.)\\]|$)",
    r"(?:[*]{3,}|[.]{3,}|\u2026)(?=[\s\"'`,;.:)\]}\\<&|*]|$)",
    r"(?:\?|\$\d{1,2})(?=[\s,;)\"]|$)",  # of statements of SQL
    r"<(?:\d?[A-Za-z _-]{2,40})>(?=\s|\\+[nrt]|[`}]|$)",
    r"(?:YOUR|MY)_[A-Z_]{2,40}(?=\W|$)",
    r"!(?:secret|env|env_var|Ref|GetAtt|ImportValue)[ ][\w.:-]{1,64}(?=\s|\\+[nrt]|$)",
    r"(?<=[A-Za-z] )\{[a-z_][\w.]{1,64}\}",
)
_SOURCE_VALUE = re.compile(rf"(?:(?:await|new|yield|not|typeof|return)[ ]+)?(?:{'|'.join(_CODE)})")
_SETTING_VALUE = re.compile(_SETTING)
_PLACEHOLDER = re.compile(rf"(?:(?i:bearer|basic|token|key)[ ]+)?(?:{'|'.join(_PLACEHOLDERS)})")
_SHOWN = re.compile(f"{_FLAG.pattern}|{_VERSION.pattern}|{_PLACEHOLDER.pattern}|{REFERENCE}|{PUBLIC_KEY}")
"""Values that are none under any name."""


def may_be_message(text: str) -> bool:
    """Tell quickly whether a text begins as a message does and has one of its words; False means that it is none."""
    return text[:1].isalpha() and _has_message_word(text)


def is_message(text: str, *, sentence: bool) -> bool:
    """Tell whether a text is prose about a name, as in `invalid_token: expired`, and not the name's value.

    Args:
        text: The text.
        sentence: Whether it has to be a whole sentence: `This field is required.`
    """
    text = text.strip()
    if sentence and " " not in text:
        return False
    if len(text) > LONGEST_MESSAGE or (_SENTENCE if sentence else _MESSAGE).fullmatch(text) is None:
        return False
    first = _SENTENCES.split(text, 1)[0]
    said = first if first[0].islower() or " " not in first else text  # `correct horse. Please change it.`
    return _has_message_word(said) and not _hides(text)


def is_prose(text: str) -> bool:
    """Tell whether a text begins with two plain words, and no word of their line may be a secret."""
    return _TWO_WORDS.match(text) is not None and not _hides(_LINE_END.split(text, 1)[0])


def _hides(prose: str) -> bool:
    """Tell whether a word of some prose may be a secret."""
    return _may_hide(prose) and any(
        is_told(word) or looks_random(word) or (word.isdigit() and len(word) >= _SHORTEST_TOLD)
        for word in _WORD_OF_PROSE.findall(prose)
    )


def is_complaint(text: str) -> bool:
    """Tell whether a text of several words is a message, as the errors of a form's field are: `can't be blank`."""
    return " " in text.strip() and is_message(text, sentence=False)


def is_pieces(text: str) -> bool:
    """Tell whether a list, as JSON, is one of words and pieces of words, which models call tokens."""
    return _PIECES_OF_TEXT.fullmatch(text) is not None


def _is_complaints(text: str) -> bool:
    """Tell whether a list, as JSON, is one of a field's errors."""
    return _COMPLAINTS.fullmatch(text) is not None and all(map(is_complaint, _COMPLAINT.findall(text)))


def is_source(text: str, *, spaced: bool) -> bool:
    """Tell whether an unquoted value is source code that yields it: a call, a member, a type.

    Args:
        text: Begins with the value.
        spaced: A blank stands before it; if none does, only settings are told: `os.environ["TOKEN"]`.
    """
    return (_SOURCE_VALUE if spaced else _SETTING_VALUE).match(text) is not None


def is_placeholder(text: str) -> bool:
    """Tell whether an unquoted value stands for another: `${TOKEN}`, `{{token}}`, `***`."""
    return _PLACEHOLDER.match(text) is not None


_FURTHEST_HEAD = 96
_LINE_BEGINS = r"(?:[\n\"'`]|\\[nrt])(?:[ \t]|\\t)*+"
_HEAD = compiled(
    _LINE_BEGINS
    + r"(?:async[ ])?(?:(?P<definition>class|def)|if|elif|while|with|match|except|case|for[ ][\w, ]{1,40}?[ ]in)"
    r"(?=[ (])[^\n\"'`\\]*+\Z|->[ ][\w.\[\], |]{0,64}\Z"
)
_PARAMETER = re.compile(r"(?:\b|\\[nrt])(?:def|fn|fun|func|function|constructor)\b[ ]?[\w<>]{0,64}\([^()\n\"'`\\]*\Z")
_TYPE = compiled(
    r"[ ]?[&*]?[A-Za-z_][A-Za-z_.]{0,64}+(?:8|16|32|64|128|256)?"
    r"(?:[\[<][\w.<>\[\], |?&]{1,64}+)?\??(?:[ ]\|[ ][\w.\[\]]{1,64}+)*+[ ]?(?=[,)])"
)
_RETURNED = re.compile(r"[ ]?[&A-Za-z_][\w.<>\[\], |&]{0,64}(?::(?!\w)|[ ]?\{)")
_LAMBDA = compiled(r"\blambda(?:[ ]\w{1,32}+,){0,4}+[ ]\**+\Z")
_BODY = compiled(
    r"[ ](?P<inline>return|raise|pass|continue|break)(?![\w-])"
    r"|(?:[ \t]*+(?:\#[^\n\\]{0,128}+)?(?:\r?\n|\\++[rn])(?:[ \t]|\\++t)*+){1,16}+(?<=[ \tt])"
    r"(?P<code>(?:return|raise|pass|continue|break|yield|await|assert|del|if|for|while|with|try|case|async|class|def)\b"
    r"|[A-Za-z_][\w.]{0,64}+(?:\[[^\]\n]{0,64}\])?(?:,[ ][\w.]{1,64}+){0,4}[ ]?(?:[-+*/|&]?=[ ]|\())?+"
)
_CONDITION = re.compile(
    r"(?:(?:(?<![A-Za-z])|(?<=\\[nrt]))(?:if|elif|while|assert|return|and|or|not|when|unless)[ ]|&&[ ]|\|\|[ ]|\()"
    r"[^\n\"'`\\]*+\Z"
)
_DOLLAR = re.compile(r"\$[A-Za-z_]\w{0,63}\s*[,)}]")
_CALL = re.compile(r"\([^()\"'`]*\Z")
_VARIABLE = compiled(
    r"[ ](?:(?:[A-Za-z_]+\.){0,4}+[A-Za-z_]++|\d{1,2})"
    r"(?=[):;]|[ ](?:and|or|&&|\|\||\{|then|\?)|\n|\\+[nr]|\\*[\"'`]?\Z)"
)


def is_statement(text: str, begin: int, after: int, separator: str) -> bool:
    """Tell whether a name with its separator belongs to a statement, and what follows is not its value.

    Args:
        text: The text.
        begin: Where the name stands.
        after: Where what follows the separator begins.
        separator: The separator.
    """
    if separator == ":":
        before = _before(text, begin)
        body = _BODY.match(text, after)
        if body is not None and (head := _HEAD.search(before)) is not None:
            return head["definition"] is not None or body.lastgroup is not None
        if _TYPE.match(text, after) is not None and _PARAMETER.search(before) is not None:
            return True
        return text.startswith(" ", after) and "lambda" in before and _LAMBDA.search(before) is not None
    if separator == "->":  # `def f(token: str) -> Token:`
        return ")" in text[begin:after] and _RETURNED.match(text, after) is not None
    if separator in {"==", "===", "!="}:
        return _VARIABLE.match(text, after) is not None and _CONDITION.search(_before(text, begin)) is not None
    return False


def is_variable(text: str, begin: int, start: int) -> bool:
    """Tell whether an argument's value is a variable, as GraphQL and PHP have it: `login(password: $p)`.

    Args:
        text: The text.
        begin: Where the argument's name stands.
        start: Where its value begins.
    """
    return _DOLLAR.match(text, start) is not None and _CALL.search(_before(text, begin)) is not None


def _before(text: str, begin: int) -> str:
    start = behind(begin, _FURTHEST_HEAD)
    return text[start:begin] if start else "\n" + text[:begin]
