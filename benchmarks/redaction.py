"""Whether redaction is linear for every input: `make bench-redaction`.

Each kind of input is made in sizes that double; a time is the median of five, in CPU time. Printed is every step at
which twice the input takes more than `WORST_RATIO` times as long, and every body of 64 KB that takes longer than
`WORST_MILLISECONDS`. There should be none.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from otas_middleware import OtasSettings
from otas_middleware._event.redact import redactor_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (8_192, 16_384, 32_768, 65_536, 131_072)
JUDGED = 65_536
REPEATS = 5
WORST_RATIO = 2.5
WORST_MILLISECONDS = 30.0
NOTICED_MILLISECONDS = 2.0
"""Below, a ratio says more of the clock than of redaction."""

UNITS = (
    *(
        '"',
        "'",
        "`",
        "\\",
        '\\"',
        "\\'",
        "{",
        "[",
        "}",
        "]",
        "(",
        "<",
        ">",
        "&",
        "%",
        "=",
        ":",
        "://",
        "@",
        "#",
        "-",
        "_",
        " ",
        "\n",
    ),
    *(
        "password=",
        '"password":',
        "password:\n",
        "password: |\n",
        "password:\n  ",
        '"password":[',
        '"password":{"',
        "<password>",
    ),
    *(
        "password=x&",
        "password=x;",
        "password: x, ",
        "password -> x ",
        "--password x ",
        '"--password","x",',
        "pass ",
        "pin=1\n",
    ),
    *(
        '"name":"password"\n',
        '{"name":"password","value":',
        "- name: password\n",
        "[password]\n",
        "name = password, value = x;",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----%",
        "-----BEGIN ",
        "-----END PRIVATE KEY-----",
        "eyJ",
        "eyJhbGciOi.",
    ),
    *(
        "Bearer ",
        "Bearer%20pass ",
        "Basic ",
        "basic%20",
        "4111 ",
        "4111111111111111 ",
        "41",
        "sk-",
        "ghp_",
        "AKIA",
        "otas_a_",
        "xoxb-",
    ),
    *(
        "https://u:p@",
        "`://",
        "://a:b",
        "a://b@",
        "https://h/?token=%3D&",
        "%2F%2F",
        "%25",
        "%2570",
        "%7B%22password%22%3A",
        "%u",
    ),
    *(
        "<a ",
        "<a b='",
        '<a b="',
        "<a>",
        "</password>",
        "<![CDATA[",
        "<!--",
        "&lt;password&gt;",
        "&quot;password&quot;:",
        "&#112;",
    ),
    *(
        '<x name="password" value="',
        "<name>password</name>",
        "<key>password</key><string>",
        "| password |\n|---|\n",
        "password,x\n",
        "|",
    ),
    *(
        "data:\n",
        "data: {}\n\n",
        'data: {"password":"x"}\n\n',
        "event: x\n",
        "key: ",
        "key=abcdefghijklmnopqrst1 ",
        "code=",
        "ticket=",
    ),
    *(
        "INSERT INTO u (password) VALUES ('x');",
        "Key (token)=(x) ",
        "input_value='x' ",
        "[parameters: ",
        "IDENTIFIED BY 'x' ",
        "PASSWORD '",
    ),
    *(
        "\\u0022",
        "\\u005c",
        "\\u0070assword",
        "\\x70",
        "\\n",
        "\\npassword=x",
        "пароль: x ",
        "密码",
        "é",
        "😀",
        "\x00",
        "\ud800",
    ),
    *(
        "token ",
        "token is 1abcdef ",
        "Authorization: ",
        "Authorization: a b, ",
        "Cookie: a=b; ",
        "cGFzc3dvcmQ6",
        "=?utf-8?B?cGFz?= ",
    ),
    *(
        "a@",
        "1.",
        "::",
        "+1 ",
        "a b ",
        "a b c password",
        "api_",
        "secret\\",
        'secret=\\"',
        "session_id=",
        '"a b c password":1,',
        "const token = f();",
    ),
    *(
        '["password","x"],',
        "hooks.slack.com/services/",
        "/api/webhooks/1/",
        "set_token('",
        "mnemonic: a b c ",
        "Password: a b c ",
        "x" * 40 + "\n",
    ),
    *(
        "name: password ",
        "token: a b c d ",
        "password: must be ",
        "// token: ",
        "Authorization: Basic ",
        "Cookie: ",
        "input_value=",
        "a\n  b [type=x, input_value='",
        "duplicate key value is (",
        "row contains (",
        "INSERT INTO u (password) VALUES (x",
        'Variable "$password" got invalid value ',
        "mysql -p",
        "invalid token a1B2c3D4e5 ",
        '{"name":"token","value":1}\n',
        "<td>token</td>",
        '"<password>",',
        '"password:",',
        '"run --password ",',
        "a  password\n- --------\n",
        "password | x\n-[ RECORD 1 ]\n",
    ),
)
WRAPPERS: dict[str, Callable[[str], str]] = {
    "alone": lambda filling: filling,
    "in JSON": lambda filling: json.dumps({"password": "x", "a": filling}),
    "labelled": lambda filling: f'[{{"name":"password","value":"{filling}"}}]',
}


def inputs() -> Iterator[tuple[str, Callable[[int], str]]]:
    """Yield the name of each kind of input, and what makes one of so many characters."""
    for unit in UNITS:
        for name, wrap in WRAPPERS.items():
            yield f"{unit!r} {name}", partial(_repeated, unit, wrap)
    yield "deep lists", lambda size: '{"name":"password","value":' + "[" * (size // 2) + "]" * (size // 2) + "}"
    yield "deep objects", lambda size: '{"name":"password","x":' + '{"a":' * (size // 6) + "1" + "}" * (size // 6) + "}"
    yield "indented", lambda size: "".join(" " * level + "password:\n" for level in range(int((2 * size) ** 0.5)))
    yield (
        "levels of quotes",
        lambda size: "".join("\\" * level + '"password' for level in range(int((2 * size) ** 0.5))),
    )
    yield "JSON in JSON", _nested


def _repeated(unit: str, wrap: Callable[[str], str], size: int) -> str:
    # All sizes end at the same place of the unit: what is cut off elsewhere may be looked through in another way.
    return wrap(unit * (size // len(unit)) + unit[: len(unit) // 2])


def _nested(size: int) -> str:
    text = json.dumps({"name": "password", "value": "x" * (size // 64)})
    while len(text) < size // 2:
        text = json.dumps({"name": "password", "value": text})
    return text


def milliseconds(work: Callable[[str], str], text: str) -> float:
    """Return the median CPU time of a call."""
    times: list[float] = []
    for _ in range(REPEATS):
        began = time.process_time()
        work(text)
        times.append((time.process_time() - began) * 1000)
        if sum(times) > 2_000:
            break
    return median(times)


def main() -> None:
    """Measure, and print what is too slow."""
    redactor = redactor_for(OtasSettings())
    ways = {"text": redactor.text, "pairs": redactor.pairs}
    slow = 0
    kinds = 0
    for name, make in inputs():
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        for way, work in ways.items():
            if way == "pairs" and "alone" not in name:
                continue
            kinds += 1
            before = 0.0
            for size in SIZES:
                took = milliseconds(work, make(size))
                ratio = took / before if before > NOTICED_MILLISECONDS else 0.0
                if ratio > WORST_RATIO or (size == JUDGED and took > WORST_MILLISECONDS):
                    slow += 1
                    sys.stdout.write(f"{way:5} {name:50.50} {size:7} characters: {took:8.1f} ms, ratio {ratio:.1f}\n")
                    sys.stdout.flush()
                before = took
    sys.stdout.write(f"{kinds} kinds of input, {slow} too slow\n")
    sys.exit(slow > 0)


if __name__ == "__main__":
    main()
