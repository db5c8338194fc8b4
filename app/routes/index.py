"""The start page: what is running, where everything is, what to do first."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from app.config import SERVICE_NAME
from app.extensions import settings
from app.services import people, presence

blp = Blueprint("index", __name__)


@blp.get("/")
def show_index() -> str:
    config = settings()
    shows_parts = config.health_details == "public"
    page: dict[str, Any] = {
        "service": SERVICE_NAME,
        "version": config.app_version,
        "environment": config.app_env,
        "url": config.public_url.rstrip("/"),
        "sandbox_url": "" if config.is_production else config.sandbox_url.rstrip("/"),
        "parts": presence.parts() if shows_parts else (),
        "needs_first_user": people.is_nobody_here(),
    }
    return render_template("index.html", **page)
