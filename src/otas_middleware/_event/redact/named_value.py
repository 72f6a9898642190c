"""The value that follows a sensitive name in a text of any format: where it is, and what it becomes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otas_middleware._event.patterns import compiled
from otas_middleware._event.redact import forms
from otas_middleware._event.redact.sensitive_names import ACTIONS, MESSAGE_WORDS
from otas_middleware._event.redact.spans import (
    BARE,
    HEADER,
    LINE,
    MARKS,
    MASK,
    OPENING,
    PHRASE,
    QUOTE,
    behind,
    container_end,
    end_of_line,
    end_of_match,
    ends_string,
    string_end,
)

if TYPE_CHECKING:
    from otas_middleware._event.redact.name_rules import Rule

NAME = rf"\w.%$@/+\-\[\]{MARKS}"
"""Characters of names."""
COMMENT = r"/\*[^*]{0,256}\*/"
CANDIDATE = compiled(
    rf"(?<![{NAME}])(?P<name>[{NAME}]++)"
    rf"(?:(?P<level>\\*+)(?P<quote>{QUOTE})[)\]]*+(?:\s|\\++[nrt]|{COMMENT})*+"
    rf"|\)?[*~]{{0,3}}[ \t\u00a0]*+(?:{COMMENT})?[ \t]*+)"
    r"(?P<separator>=>|:=|={1,3}|::(?=[ ])|:(?!:[\s\\])|[\uff1a\uff1d]"
    r"|->|<-|\|\|(?=[ ]?\\*[\"'`])|\?\?(?=[ ]?\\*[\"'`])"
    r"|\u2192|\\+u(?:2192|[fF]{2}1[aAdD])|<>|!=)"
)
"""A name, perhaps quoted, and what separates it from its value."""
_AS_ASCII = {"\uff1a": ":", "1a": ":", "\uff1d": "=", "1d": "=", "::": ":"}
"""Separators as wide as a Chinese character, by the last characters of their spelling; and LDIF's, before base64."""
_LONGEST_SHOWN = 2304  # a public key
_BLANK = compiled(
    r"(?:\s|\\++[nrt]|</\w{1,10}>|<(?:b|i|em|tt|kbd|code|mark|strong)>"
    r"|(?<!\*)\*\*(?!\*)|/\*[^*]{0,256}\*/|//[^\n\"]{0,128}\n)*+(?:data:[ ]?(?=\S))?"
)  # the value may stand in an event stream's next line
_LINE_END = re.compile(r"\n|\\[rn]")
_PROMPT = re.compile(r"[^\n:=\"'{}\\]{1,48}+:[ \t]*+(?=\r?\n|\\+[rn\"]|$)")
_SCALAR = re.compile(r"[^\s,}\])\"'`\\&<]*+")
_BLOCK = re.compile(r"[|>][-+0-9]*+[ \t]*+\r?(?=\n)|\r?(?=\n)")
_HEREDOC = re.compile(
    r"<<[-~]?(?P<quote>[\"']?)(?P<end>[A-Z]\w{0,31})(?P=quote)(?P<line>\r?\n|\\+n)[ \t]*+"
    r"(?P<lines>(?:(?!(?P=line)[ \t]*(?P=end)).){1,16384})",
    re.DOTALL,
)
_WRAPPER = re.compile(
    r"(?:(?:Some|Just|Ok|Right|Optional(?:\.of)?|\w*Secret\w*|String|Buffer|bytes|\w*(?:hash|crypt|encode|digest)\w*"
    r"|(?i:md5|sha\d{0,3}|password))"
    r"(?:(?:::|\.)(?:from|new|of|valueOf|encode|hash\w*))?\([ ]?|<<)[bBuUrR]?(?=\\*[\"'])"
)
"""What may stand around a string: Rust's `Some("…")`, Erlang's `<<"…">>`, `bcrypt.hash("…")`."""
_TYPE = re.compile(r"[ ]?[A-Za-z_&][\w.<>&' ]{0,48}(?:\[[\w., |]{1,48}\])?(?:[ ]\|[ ]None)?[ ]=[ ]?(?=[bfru]?\\*[\"'])")
_GRAPHQL_TYPE = re.compile(r"\[*[A-Z][A-Za-z]{1,31}[!\]]*(?=\s*[,)=@$])")
_BRACED = re.compile(r"\{([A-Za-z_]\w{2,63})\}")
_LONGEST_TYPE = 128
_NO_TAG = re.compile(r"<\w+>\w")
_LOOK_BACK = 128
_EDGE = 48
_MAX_FOLDED = 8
_CLAUSE = re.compile(r"(?i:\bUPDATE\s[^;]{0,128}?\sSET\s|\b(?:WHERE|AND|OR|HAVING)\s)")
_PARAMETER = re.compile(r"[:@][A-Za-z_]{1,32}\d{0,2}(?=[\s,;)\"\\]|$)")
_FOLDED = compiled(r"\r?\n(?P<indent>[ \t]++)(?!at |File |[-^|#] ?)[^\s:=\"'{}]++(?:[ ][^\s:=\"'{}]++)*+(?=\r?\n|$)")
_FIRST_WORDS = re.compile(rf"[\w \t'*>#\-{MARKS}]*")
_NOTHING_BEFORE = re.compile(r"(?:[-*>#$ \t]|export\b|set\b|setx\b|env\b|\$env:)*")
_ACTION_WORDS = frozenset((*ACTIONS, *MESSAGE_WORDS, "admin", "manage", "view", "edit", "all", "any", "*"))
_ARN = re.compile(r":\w{1,32}:[\w-]{0,24}:\d{0,12}:$")  # of Amazon's resources: service, region, account


class NamedValue:
    """A name that was found in a text, and the value that follows it.

    Args:
        text: The text.
        match: A match of `CANDIDATE` in it.
        rule: What is masked under the name.
        look: How many characters of a container may be looked at to tell whether it is readable.
    """

    def __init__(self, text: str, match: re.Match[str], rule: Rule, look: int) -> None:
        self.text = text
        self.look = look
        self.looked = 0
        self.rule = rule
        self.name, level, quote, separator = match.groups()
        self.begin = match.start()
        self.after = match.end()
        self.separator = _AS_ASCII.get(separator.lower()[-2:], separator)
        self.quote: str = "" if quote is None or quote == "`" else quote  # in Markdown: "`token`: The token to use"
        self.backslashes: str = level or ""

    def locate(self) -> tuple[int, int, str]:
        """Return start, end and mask; an empty span when there is nothing to hide."""
        start = self._string_of_json()
        return self._string(start, '"', len(self.backslashes)) if start else self._in_any_form()

    def _in_any_form(self) -> tuple[int, int, str]:
        text = self.text
        if forms.is_statement(text, self.begin - len(self.backslashes + self.quote), self.after, self.separator):
            return self.after, self.after, ""
        # `password: str = "…"`
        if not self.quote and self.separator == ":" and "=" in text[self.after : self.after + _LONGEST_TYPE]:
            self.after = end_of_match(_TYPE, text, self.after)
        before = None if self.quote else self._before()
        if before is not None and self.separator == ":":
            block = _BLOCK.match(text, _skip_blanks(text, self.after))
            if block is not None:
                return self._block(block, len(before) - len(before.lstrip(" \t-")))
        start = self._value_start()
        opened = self._opened(start)
        if opened is not None:
            return opened
        code = (not self.quote and self._is_below(start)) or (not self.rule.strict and self._is_code(start))
        if not code and text[start : start + 1] in {"{", "[", "("} and not text.startswith(MASK, start):
            return self._container(start)
        if code or (not self.quote and (self._is_of_an_id(start) or self._is_prose(start))):
            return start, start, ""
        return self._unquoted_json(start) if self.quote else self._unquoted(start, before)

    def _string_of_json(self) -> int:
        """Return where a string begins that follows its name as in JSON, or 0; it has none of the other forms."""
        if self.quote != '"' or self.separator != ":":
            return 0
        opening = self.backslashes + self.quote
        start = self.after + self.text.startswith(" ", self.after)
        if not self.text.startswith(opening, start):
            return 0
        start += len(opening)
        return 0 if self.text.startswith(('""', opening * 2), start) else start  # three quotes, of Python's

    def _string(self, start: int, quote: str, level: int) -> tuple[int, int, str]:
        end, _ = string_end(self.text, start, quote, level)
        return (start, start, "") if self._is_a_models(end) else self._unless_shown(start, end)

    def _opened(self, start: int) -> tuple[int, int, str] | None:
        """Locate a value that begins with a quote, or with `<<EOF`."""
        text = self.text
        heredoc = _HEREDOC.match(text, start)
        if heredoc is not None:
            return heredoc.start("lines"), heredoc.end("lines"), MASK
        start = end_of_match(_WRAPPER, text, start, _EDGE)
        opening = OPENING.match(text, start)
        if opening is not None:
            start = opening.end()
            if self.quote != opening["quote"] and ends_string(text, self.begin, opening):
                return start, start, ""
            return self._string(start, opening["quote"], len(opening["level"]))
        return None

    def _container(self, start: int) -> tuple[int, int, str]:
        quote, level = '"' if self.quote == '"' else "", len(self.backslashes)
        container = self.text[start : start + self.look]
        container = container[: container_end(container, 0, quote, level)]
        self.looked = len(container)
        readable = not self.rule.strict and container and forms.readable_container(container, self.rule.stays)
        if readable or (container and not container[1:-1].strip()):
            return start, start, ""
        end = container_end(self.text, start, quote, level)
        if "pieces" in self.rule.stays and forms.is_pieces(self.text[start:end]):
            return start, start, ""
        return start, end, self._quoted()

    def _is_code(self, start: int) -> bool:
        value = self.text[start : start + 256]
        spaced = self.text[start - 1 : start] == " " and (self.separator != ":" or value[:1].isalpha())
        if self.separator == ":" and (forms.is_variable(self.text, self.begin, start) or self._is_declared(value)):
            return True
        last = self.name.rpartition(".")[2]
        if value.startswith(last) and end_of_match(BARE, value, 0) == len(last):
            return True  # `self.session = session`
        return (
            forms.is_placeholder(value)
            or value.startswith("$" + self.name.lstrip("$"))
            or ((braced := _BRACED.match(value)) is not None and self._is_named(braced[1]))
            or forms.is_source(value, spaced=spaced)
            or (value[:1] in {":", "@"} and self._is_bound(value))
        )

    def _is_bound(self, value: str) -> bool:
        """Tell whether a value is a parameter's name in SQL: `WHERE password = :pw`."""
        clause = _CLAUSE.search(self.text, behind(self.begin, _LOOK_BACK), self.begin)
        return clause is not None and _PARAMETER.match(value) is not None

    def _is_prose(self, start: int) -> bool:
        """Tell whether some words follow, and the name allows them: `Token: see below`."""
        if self.separator != ":" or "words" not in self.rule.stays or self.text[start - 1 : start] != " ":
            return False
        return forms.is_prose(self.text[start : start + forms.LONGEST_MESSAGE])

    def _is_named(self, name: str) -> bool:
        return self.name.lower().replace("-", "_").endswith(name.lower())

    def _is_declared(self, value: str) -> bool:
        """Tell whether a value is the type of a variable of GraphQL's: `mutation($password: String!, …)`."""
        return self.name.startswith("$") and _GRAPHQL_TYPE.match(value) is not None

    def _is_below(self, start: int) -> bool:
        """Tell whether the next line has a name and a value of its own: another prompt, or what YAML sets in."""
        if self.separator != ":" or not _LINE_END.search(self.text, self.after, start):
            return False
        return self._is_prompt(start) or CANDIDATE.match(self.text, start) is not None

    def _is_prompt(self, start: int) -> bool:
        """Tell whether another prompt stands here, and no value: `New password:`, `Confirm password:`."""
        return _PROMPT.match(self.text, start) is not None

    def _is_of_an_id(self, start: int) -> bool:
        """Tell whether name and value are words of a scope, an event or a resource: `token:read`, `arn:…:secret:db`."""
        if self.separator != ":" or start != self.after:
            return False
        if self.text.startswith(":", self.begin - 1) and _ARN.search(self.text, behind(self.begin, _EDGE), self.begin):
            return True
        value = self.text[start : end_of_match(BARE, self.text, start, _EDGE)]
        return _is_action(value) or (_is_action(self.name) and value.isalpha())

    def _is_a_models(self, end: int) -> bool:
        """Tell whether this is a word that a model chose: beside it stands its logarithmic probability."""
        if not self.quote or self.name != "token":
            return False
        around = self.text[end : end + 24], self.text[behind(self.begin, 40) : self.begin]
        return any("logprob" in part for part in around)

    def _value_start(self) -> int:
        if self.separator == "=" and not self.quote:
            start = _skip_blanks(self.text, self.after)
            # `password=` and the value in the next line, set in
            return end_of_match(_BLANK, self.text, start) if self.text.startswith(("\n ", "\n\t"), start) else start
        return end_of_match(_BLANK, self.text, self.after)

    def _unless_shown(self, start: int, end: int) -> tuple[int, int, str]:
        if start == end or self._shown(start, end):
            return start, start, ""
        return start, end, MASK

    def _shown(self, start: int, end: int) -> bool:
        if end - start > _LONGEST_SHOWN:
            return False
        value = self.text[start:end]
        if self.text[start - 1 : start].isspace():
            value = value.rstrip(".,;)")  # of the sentence around it
        return self.rule.shows(value) or (not self.rule.strict and forms.is_message(value, sentence=True))

    def _quoted(self) -> str:
        """Return the mask as a string of the document that the name stands in."""
        quote = self.backslashes + self.quote
        return quote + MASK + quote

    def _unquoted_json(self, start: int) -> tuple[int, int, str]:
        end = end_of_match(_SCALAR, self.text, start)
        word = self.text[start:end]
        if word == "null" or self.rule.shows(word):
            return start, start, ""
        if word and (word[0] in "-0123456789" or word in {"true", "false"}):
            return start, end, self._quoted()
        return start, end_of_match(BARE, self.text, start), self._quoted()

    def _unquoted(self, start: int, before: str | None) -> tuple[int, int, str]:
        text, rule = self.text, self.rule
        if self.separator == ":" and (before is not None or text[start - 1 : start] == " "):
            # The whole line, of every name, is too much; so is as much of it, where nothing tells of a message.
            if rule.extent != "words" and forms.may_be_message(text[start : start + forms.LONGEST_MESSAGE]):
                line = end_of_match(LINE, text, start, forms.LONGEST_MESSAGE + 1)
                if forms.is_message(text[start:line], sentence=False):
                    return start, start, ""
            if before is not None:
                end = self._folded(end_of_line(text, start), before)
                # the argument of a command: `curl -H 'X-Key: …' https://…`
                quote = text.find("'", start, end) if before.count("'") % 2 else -1
                return self._unless_shown(start, end if quote < 0 else quote)
        if rule.extent == "header" and self.separator == ":":
            return self._unless_shown(start, end_of_match(HEADER, text, start))
        if rule.extent == "words" or (rule.extent == "phrase" and self.separator == ":"):
            return self._unless_shown(start, end_of_match(PHRASE, text, start))
        if self.separator == "=" and (self._is_first() or text[self.begin - 1 : self.begin] == ";"):
            end = end_of_match(LINE, text, start)
            odd = self.text.startswith("\\", end) or _NO_TAG.match(text, end) is not None
            return self._unless_shown(start, end_of_line(text, end) if odd and self._is_first() else end)
        return self._unless_shown(start, end_of_match(BARE, text, start))

    def _folded(self, end: int, before: str) -> int:
        """Return where a value ends that goes on in the next lines, set in further than its name, as in YAML."""
        indent = len(before) - len(before.lstrip(" \t-"))
        for _ in range(_MAX_FOLDED):
            line = _FOLDED.match(self.text, end)
            if line is None or len(line["indent"]) <= indent:
                break
            end = line.end()
        return end

    def _is_first(self) -> bool:
        """Tell whether nothing stands before the name in its line, as in `.env` and INI files."""
        line = self._line()
        return line is not None and _NOTHING_BEFORE.fullmatch(line) is not None

    def _before(self) -> str | None:
        """Return what stands before a name that is the first of its line, but for a few words; else None."""
        line = self._line()
        return line if line is not None and _FIRST_WORDS.fullmatch(line) is not None else None

    def _line(self) -> str | None:
        line = self.text.rfind("\n", behind(self.begin, _LOOK_BACK), self.begin) + 1
        return None if line == 0 and self.begin > _LOOK_BACK else self.text[line : self.begin]

    def _block(self, block: re.Match[str], indent: int) -> tuple[int, int, str]:
        """Locate what stands below a name, as in YAML: the lines that are indented further, or the next word."""
        text = self.text
        end = block.end()
        while end < len(text):
            line_end = text.find("\n", end + 1)
            line_end = len(text) if line_end < 0 else line_end
            line = text[end + 1 : line_end]
            content = line.rstrip("\r").lstrip(" \t")
            depth = len(line.rstrip("\r")) - len(content)
            if content and depth <= indent and not (depth == indent and content.startswith("- ")):
                break
            end = line_end
        if text[block.end() : end].strip():
            lines = filter(None, (line.strip(" \t\r-") for line in text[block.end() : end].split("\n")))
            if not {"members", "plain"}.isdisjoint(self.rule.stays) or all(map(self.rule.shows, lines)):
                return block.start(), block.start(), ""
            return block.start(), end, MASK
        after = end_of_match(_BLANK, text, end)
        if CANDIDATE.match(text, after) or self._is_prompt(after):
            return after, after, ""
        return self._unless_shown(after, end_of_match(BARE, text, after))


def _is_action(text: str) -> bool:
    """Tell whether a text says what may be or was done: the `read` of `token:read`, the `reset` of `password:reset`."""
    words = text.lower().strip(".,;").split(":")
    return words[0] in _ACTION_WORDS and all(word.isalpha() or word == "*" for word in words)


def _skip_blanks(text: str, start: int) -> int:
    while text.startswith((" ", "\t", "\u00a0"), start):
        start += 1
    return start
