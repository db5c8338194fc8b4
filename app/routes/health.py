"""Health: for people (`/health`, `/health/detailed`) and for orchestrators (`/health/ready`, `/health/live`).

A failing dependency answers 503 in detailed and ready, never in live and health: restarting or dropping this
process would not mend it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask_smorest
from flask import Response
from flask.typing import ResponseReturnValue

from app.extensions import settings
from app.monitoring import bears_metrics_token
from app.schemas.health import DetailedHealthSchema, HealthSchema, LivenessSchema
from app.services import health

if TYPE_CHECKING:
    from app.routes.base import _Blueprint as Blueprint  # flask-smorest has no types
else:
    Blueprint = flask_smorest.Blueprint

# Not the API's own kind of blueprint: nobody logs in here and no rate is counted.
blp = Blueprint("health", __name__, url_prefix="/health", description="Whether the service works.")

UNAVAILABLE = 503


@blp.get("", strict_slashes=False)
@blp.response(200, HealthSchema)
@blp.doc(summary="Whether the service runs", operationId="getHealth", security=[])
def get_health() -> dict[str, Any]:
    return health.describe()


@blp.get("/detailed")
@blp.response(200, DetailedHealthSchema)
@blp.alt_response(UNAVAILABLE, schema=DetailedHealthSchema, description="A dependency fails.")
@blp.doc(summary="Whether each dependency works", operationId="getDetailedHealth", security=[])
def get_detailed_health() -> ResponseReturnValue:
    report = health.check_everything()
    body = _for_insiders(report) if _may_see_details() else _for_outsiders(report)
    return DetailedHealthSchema().dump(body), 200 if report.status == "healthy" else UNAVAILABLE


@blp.get("/ready")
@blp.response(200, LivenessSchema)
@blp.alt_response(UNAVAILABLE, schema=LivenessSchema, description="Send no requests here for now.")
@blp.doc(summary="Whether requests can be answered", operationId="getReadiness", security=[])
def get_readiness() -> ResponseReturnValue:
    if health.check_readiness().status == "healthy":
        return {"status": "ready", "timestamp": health.timestamp()}
    return {"status": "unhealthy", "timestamp": health.timestamp()}, UNAVAILABLE


@blp.get("/live")
@blp.response(200, LivenessSchema)
@blp.doc(summary="Whether the process is alive", operationId="getLiveness", security=[])
def get_liveness() -> dict[str, Any]:
    return {"status": "alive", "timestamp": health.timestamp()}


@blp.after_request
def _forbid_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _may_see_details() -> bool:
    return settings().health_details == "public" or bears_metrics_token(settings())


def _for_insiders(report: health.Report) -> dict[str, Any]:
    checks = {name: check.to_dict() for name, check in report.checks.items()}
    return health.describe() | {
        "status": report.status,
        "environment": settings().app_env,
        "checks": checks,
    }


def _for_outsiders(report: health.Report) -> dict[str, Any]:
    checks = {name: {"status": check.status} for name, check in report.checks.items()}
    return health.describe() | {"status": report.status, "checks": checks}
