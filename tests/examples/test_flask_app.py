"""The knowledge base, by Flask's own test client."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

FOLDER = Path(__file__).parents[2] / "examples" / "flask_app"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Flask:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    app: Flask = importlib.import_module("knowledge_base").create_app({"DIR": tmp_path, "PASSWORD": "pa55"})
    return app


@pytest.fixture
def reader(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def editor(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.post("/login", data={"name": "Ada", "password": "pa55"}).status_code == 303
    return client


def write(client: FlaskClient, title: str = "How to reset it?", text: str = "Hold the red button.") -> int:
    return client.post("/articles", data={"title": title, "text": text}).status_code


def test_an_article_is_written_by_form_and_read_as_a_page(editor: FlaskClient, reader: FlaskClient) -> None:
    answer = editor.post("/articles", data={"title": "How to reset it?", "text": "Hold <b>the</b> button."})
    assert (answer.status_code, answer.location) == (303, "/articles/how-to-reset-it")
    page = reader.get("/articles/how-to-reset-it").text
    assert "How to reset it?" in page
    assert "Hold &lt;b&gt;the&lt;/b&gt; button." in page
    assert "by Ada" in page
    assert "/articles/how-to-reset-it" in reader.get("/").text


def test_only_editors_write_and_only_with_the_password(reader: FlaskClient) -> None:
    assert write(reader) == 403
    assert reader.post("/login", data={"name": "Eve", "password": "guess"}).status_code == 401
    assert write(reader) == 403
    assert reader.get("/search?q=reset").json == {"count": 0, "articles": []}


@pytest.mark.parametrize(("title", "text"), [("", "text"), ("???", "text"), ("Title", "  ")])
def test_an_article_without_a_title_or_a_text_is_refused(editor: FlaskClient, title: str, text: str) -> None:
    assert write(editor, title, text) == 422


def test_a_title_is_used_once(editor: FlaskClient) -> None:
    assert write(editor) == 303
    assert write(editor) == 422


def test_a_search_finds_the_articles_with_all_of_its_words(editor: FlaskClient, reader: FlaskClient) -> None:
    write(editor)
    write(editor, "Printers", "Turn it off and on.")
    found = reader.get("/search?q=RED+button").json
    assert found == {"count": 1, "articles": [{"title": "How to reset it?", "url": "/articles/how-to-reset-it"}]}
    assert reader.get("/search?q=it").json["count"] == 2  # type: ignore[index]
    assert reader.get("/search").json == {"count": 0, "articles": []}


def test_a_file_is_downloaded_as_it_was_uploaded(editor: FlaskClient, reader: FlaskClient) -> None:
    write(editor)
    content = bytes(range(256)) * 100
    upload = {"file": (io.BytesIO(content), "../manual v2.pdf")}
    answer = editor.post("/articles/how-to-reset-it/files", data=upload)
    assert answer.status_code == 201
    assert answer.json == {"url": "/articles/how-to-reset-it/files/manual_v2.pdf", "size": len(content)}
    with reader.get("/articles/how-to-reset-it/files/manual_v2.pdf") as download:
        assert download.data == content
        assert download.headers["Content-Disposition"] == "attachment; filename=manual_v2.pdf"
    assert "manual_v2.pdf" in reader.get("/articles/how-to-reset-it").text


def test_what_is_not_there_is_a_404(editor: FlaskClient) -> None:
    write(editor)
    for path in ("/articles/nothing", "/articles/..", "/articles/how-to-reset-it/files/none", "/nowhere"):
        assert editor.get(path).status_code == 404, path


def test_the_reading_time_fails_for_people_who_do_not_read(editor: FlaskClient, app: Flask) -> None:
    write(editor, text="word " * 500)
    assert editor.get("/articles/how-to-reset-it/reading-time").json == {"minutes": 2.5}
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert editor.get("/articles/how-to-reset-it/reading-time?words_per_minute=0").status_code == 500


def test_the_environment_configures_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    monkeypatch.setenv("KNOWLEDGE_BASE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("KNOWLEDGE_BASE_PASSWORD", "12345")
    client = importlib.import_module("knowledge_base").create_app().test_client()
    assert client.post("/login", data={"name": "Ada", "password": "12345"}).status_code == 303
    assert write(client) == 303
    assert (tmp_path / "elsewhere" / "how-to-reset-it" / "article.json").is_file()
