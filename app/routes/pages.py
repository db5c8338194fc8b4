"""Pages for everybody: what is kept of people, on which terms, and whether a wish to be forgotten was met."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.config import SERVICE_NAME
from app.exceptions import ResourceNotFoundError
from app.extensions import settings
from app.services import deletion, pages
from app.services.pages import PageName
from app.services.platforms import registry

blp = Blueprint("pages", __name__)


@blp.get("/privacy")
def show_privacy() -> str:
    return _page("privacy")


@blp.get("/terms")
def show_terms() -> str:
    return _page("terms")


@blp.get("/data-deletion/<code>")
def show_deletion(code: str) -> Response:
    try:
        request = deletion.find(code)
    except ResourceNotFoundError as error:
        return make_response(render_template("data_deletion.html", problem=error.message), error.status)
    label = registry().get(request.platform).label
    return make_response(render_template("data_deletion.html", platform=label, done_at=request.done_at))


def _page(name: PageName) -> str:
    config = settings()
    labels = [registry().get(platform).label for platform in registry().names()]
    return render_template(
        f"{name}.html",
        own_text=pages.own_text(name),
        service=SERVICE_NAME,
        operator=config.operator_name,
        email=config.operator_email,
        url=config.public_url.rstrip("/"),
        platforms=labels,
    )
