"""Articles as files: a folder each, with `article.json` and the files that are attached to it."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


class TitleTakenError(Exception):
    """An article of that title is already there."""


@dataclass(frozen=True)
class Article:
    slug: str
    title: str
    text: str
    author: str

    def matches(self, words: list[str]) -> bool:
        haystack = f"{self.title} {self.text}".casefold()
        return all(word in haystack for word in words)

    @property
    def word_count(self) -> int:
        return len(self.text.split())


def slug_of(title: str) -> str:
    """`"How to reset it?"` → `"how-to-reset-it"`; empty when nothing of the title can stand in a URL."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:60]


class Library:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, title: str, text: str, author: str) -> Article:
        article = Article(slug_of(title), title, text, author)
        try:
            self.files_of(article.slug).mkdir(parents=True)
        except FileExistsError:
            raise TitleTakenError(title) from None
        record = self._record_of(article.slug)
        unfinished = record.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(article)), encoding="utf-8")
        unfinished.replace(record)
        return article

    def get(self, slug: str) -> Article | None:
        if slug != slug_of(slug):  # it comes from a URL, and names a folder
            return None
        try:
            record = self._record_of(slug).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Article(**json.loads(record))

    def __iter__(self) -> Iterator[Article]:
        for record in sorted(self.folder.glob("*/article.json")):
            yield Article(**json.loads(record.read_text(encoding="utf-8")))

    def search(self, query: str) -> list[Article]:
        words = query.casefold().split()
        return [article for article in self if article.matches(words)] if words else []

    def attach(self, slug: str, name: str, content: IO[bytes]) -> int:
        """Keep a file under `name`, which must be safe as a file name; returns its size in bytes."""
        with (self.files_of(slug) / name).open("wb") as file:
            shutil.copyfileobj(content, file)
            return file.tell()

    def files_of(self, slug: str) -> Path:
        return self.folder / slug / "files"

    def attachments(self, slug: str) -> list[str]:
        return sorted(file.name for file in self.files_of(slug).iterdir())

    def _record_of(self, slug: str) -> Path:
        return self.folder / slug / "article.json"
