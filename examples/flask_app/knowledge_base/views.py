"""Pages for people, forms for editors, and a search that answers in JSON."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import (
    Blueprint,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    send_from_directory,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.utils import secure_filename

from .articles import Article, Library, TitleTakenError, slug_of

views = Blueprint("views", __name__)
P = ParamSpec("P")


def library() -> Library:
    library: Library = current_app.extensions["library"]
    return library


def for_editors(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    @wraps(view)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if "editor" not in session:
            abort(403, "Only editors may do this; sign in first.")
        return view(*args, **kwargs)

    return wrapped


def article_or_404(slug: str) -> Article:
    return library().get(slug) or abort(404, f"There is no article {slug!r}.")


@views.get("/")
def index() -> ResponseReturnValue:
    return render_template("index.html", articles=library())


@views.post("/login")
def login() -> ResponseReturnValue:
    password = current_app.config["PASSWORD"]
    if not hmac.compare_digest(request.form["password"].encode(), str(password).encode()):
        return render_template("index.html", articles=library(), problem="That is not the password."), 401
    session["editor"] = request.form["name"]
    return redirect(url_for(".index"), 303)


@views.post("/articles")
@for_editors
def add_article() -> ResponseReturnValue:
    title, text = request.form["title"].strip(), request.form["text"].strip()
    problem = None if slug_of(title) and text else "An article needs a title and a text."
    if problem is None:
        try:
            article = library().add(title, text, session["editor"])
        except TitleTakenError:
            problem = f"There is already an article called {title}."
        else:
            return redirect(url_for(".read_article", slug=article.slug), 303)
    return render_template("index.html", articles=library(), problem=problem), 422


@views.get("/articles/<slug>")
def read_article(slug: str) -> ResponseReturnValue:
    return render_template("article.html", article=article_or_404(slug), attachments=library().attachments(slug))


@views.get("/search")
def search() -> ResponseReturnValue:
    found = library().search(request.args.get("q", ""))
    return {
        "count": len(found),
        "articles": [{"title": a.title, "url": url_for(".read_article", slug=a.slug)} for a in found],
    }


@views.get("/articles/<slug>/reading-time")
def reading_time(slug: str) -> ResponseReturnValue:
    # Left as it is for the demonstration: nobody handles the exception of `?words_per_minute=0`.
    minutes = article_or_404(slug).word_count / request.args.get("words_per_minute", 200, type=int)
    return {"minutes": round(minutes, 1)}


@views.post("/articles/<slug>/files")
@for_editors
def attach_file(slug: str) -> ResponseReturnValue:
    article_or_404(slug)
    upload = request.files["file"]
    name = secure_filename(upload.filename or "")
    if not name:
        abort(400, "The file needs a name.")
    size = library().attach(slug, name, upload.stream)
    return {"url": url_for(".download_file", slug=slug, name=name), "size": size}, 201


@views.get("/articles/<slug>/files/<name>")
def download_file(slug: str, name: str) -> ResponseReturnValue:
    article_or_404(slug)
    return send_from_directory(library().files_of(slug), name, as_attachment=True)
