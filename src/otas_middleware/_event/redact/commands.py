"""Passwords on the command lines of well-known programs whose options do not tell: `mysql -pX`, `docker login -p X`.

A command line is a text, or a list of its words: `["mysql", "-u", "root", "-pX"]`. Options with telling names, such as
`--password X`, are left to `arguments`.
"""

from __future__ import annotations

_NEXT = r"(?:\s|\\*[\"'],\s*\\*[\"'])"  # between two words
_WORDS = rf"(?={_NEXT})(?:[^\n]|(?<=,)\n){{0,128}}?"
_VALUE = r"(?:\\*[\"'](?=[^\s\"',\\]))?(?P<values>[^\s\"'\\]{1,256})"


def _glued(program: str, option: str) -> str:
    return rf"{program}{_WORDS}{_NEXT}{option}{_VALUE}"


def _apart(program: str, option: str) -> str:
    return rf"{program}{_WORDS}{_NEXT}{option}{_NEXT}+{_VALUE}"


COMMANDS: tuple[tuple[str, str], ...] = (
    ("mysql", _glued(r"mysql(?:dump|admin|import|check)?", "-p")),
    ("mongo", _apart(r"mongo(?:sh|dump|restore|export|import)?", "-p")),
    ("redis-cli", _apart("redis-cli", "-a")),
    ("sshpass", rf"sshpass{_NEXT}+-p(?:{_NEXT}+)?{_VALUE}"),
    ("docker", _apart(rf"docker{_NEXT}+login", "-p")),
    ("podman", _apart(rf"podman{_NEXT}+login", "-p")),
    ("helm", _apart(rf"helm{_NEXT}+registry{_NEXT}+login", "-p")),
    ("ldap", _apart(r"ldap(?:search|modify|add|delete|passwd|whoami|compare)", "-w")),
    ("sqlcmd", rf"sqlcmd{_WORDS}{_NEXT}-P(?:{_NEXT}+)?{_VALUE}"),
    ("openssl", rf"openssl{_WORDS}(?<![a-z])pass:{_VALUE}"),
    ("htpasswd", rf"htpasswd{_NEXT}+-\w*b\w*{_NEXT}+[^\s\"']{{1,128}}{_NEXT}+[^\s\"']{{1,64}}{_NEXT}+{_VALUE}"),
    ("smbclient", rf"smbclient{_WORDS}{_NEXT}-U(?:{_NEXT}+)?[^\s%\"']{{1,64}}%{_VALUE}"),
    ("requirepass", rf"requirepass{_NEXT}+{_VALUE}"),
    ("masterauth", rf"masterauth{_NEXT}+{_VALUE}"),
    ("bindpw", rf"bindpw{_NEXT}+{_VALUE}"),
    ("rootpw", rf"rootpw{_NEXT}+(?:--\w+{_NEXT}+)?{_VALUE}"),
    ("curl", rf"(?:-u|--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?[^\s:\"'\\]{{1,64}}:{_VALUE}"),
    ("wget", rf"(?:--user|--proxy-user)(?:{_NEXT}+|=)\\*[\"']?[^\s:\"'\\]{{1,64}}:{_VALUE}"),
    (
        "-stdin",  # echo X | docker login --password-stdin
        rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[^|\n]{{0,64}}--password-stdin",
    ),
    ("sudo -S", rf"(?:echo|printf)[ ]+(?:-n[ ]+)?\\*[\"']?(?!\$){_VALUE}[^|\n]{{0,8}}\|[ ]*sudo -S"),
)
"""A word without which a command line is none of these, and its pattern; the group `values` is the secret."""
