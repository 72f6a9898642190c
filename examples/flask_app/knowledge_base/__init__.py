"""A knowledge base, as an example of a Flask application with OTAS."""

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from otas_middleware.flask import Otas

from .articles import Library
from .views import views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application; `config` goes before `KNOWLEDGE_BASE_*` in the environment."""
    app = Flask(__name__)
    app.config.from_mapping(
        DIR=Path(tempfile.gettempdir()) / "knowledge-base",
        MAX_CONTENT_LENGTH=10 * 1024 * 1024,
        PASSWORD="open sesame",
        SECRET_KEY=secrets.token_hex(),
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_prefixed_env("KNOWLEDGE_BASE")
    app.config.from_mapping(config)
    app.extensions["library"] = Library(Path(app.config["DIR"]))
    app.register_blueprint(views)
    Otas(app)
    return app
