"""An app whose views go wrong in each way there is, and what a test wants to know of its answers."""

from __future__ import annotations

import marshmallow
from flask import Flask, request
from flask_jwt_extended import JWTManager, jwt_required
from flask_limiter import Limiter
from flask_smorest import Blueprint
from marshmallow import fields
from werkzeug.test import TestResponse

from app import error_handlers, logging_config
from app.config import Settings
from app.error_handlers import Api
from app.schemas.errors import ErrorSchema

SETTINGS = Settings(secret_key="s" * 40, jwt_secret_key="j" * 40)


class DocumentedApi(Api):
    ERROR_SCHEMA = ErrorSchema


class TargetSchema(marshmallow.Schema):
    channel_id = fields.UUID(required=True)


class PostSchema(marshmallow.Schema):
    title = fields.String(required=True)
    targets = fields.List(fields.Nested(TargetSchema))


class PageSchema(marshmallow.Schema):
    limit = fields.Integer()


class HeadersSchema(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.EXCLUDE

    revision = fields.Integer(data_key="X-Revision", required=True)


def faulty_app() -> Flask:
    """Return an app with the error handlers and everything that raises errors of its own."""
    app = Flask("tested")
    app.config |= {"JWT_SECRET_KEY": "j" * 40, "PROPAGATE_EXCEPTIONS": False, "MAX_CONTENT_LENGTH": 1000}
    app.config |= {"API_TITLE": "t", "API_VERSION": "v1", "OPENAPI_VERSION": "3.1.0"}
    app.config |= {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "openapi.json"}
    logging_config.init_app(app, SETTINGS)
    JWTManager(app)
    limiter = Limiter(lambda: "one", app=app, headers_enabled=True, storage_uri="memory://")
    error_handlers.init_app(app, SETTINGS)
    app.add_url_rule("/limited", view_func=limiter.limit("1 per minute")(lambda: "fine"), endpoint="limited")
    DocumentedApi(app).register_blueprint(_blueprint())
    return app


def _blueprint() -> Blueprint:
    blp = Blueprint("posts", __name__)

    @blp.post("/posts")
    @blp.arguments(PostSchema)
    @blp.response(201, PostSchema)
    def create_post(data: dict) -> dict:
        return data

    @blp.get("/posts")
    @blp.etag
    @blp.arguments(PageSchema, location="query")
    @blp.response(200, PostSchema)
    def list_posts(_query: dict) -> dict:
        return {"title": "one"}

    @blp.delete("/posts")
    @blp.arguments(HeadersSchema, location="headers")
    def delete_posts(_headers: dict) -> str:
        return ""

    @blp.get("/private")
    @jwt_required()
    def private() -> str:
        return "fine"

    @blp.post("/plain")
    def plain() -> str:
        return str(request.get_json())

    return blp


def raising(app: Flask, error: BaseException) -> TestResponse:
    def view() -> None:
        raise error

    app.add_url_rule("/raising", view_func=view)
    return app.test_client().get("/raising")


def envelope(response: TestResponse) -> dict:
    """The inner object, after checking that the answer is an envelope and nothing else."""
    assert response.mimetype == "application/json"
    assert response.headers["X-Request-Id"]
    assert set(response.json) == {"error"}
    assert set(response.json["error"]) >= {"code", "message", "details"}
    assert isinstance(response.json["error"]["details"], dict)
    return response.json["error"]
