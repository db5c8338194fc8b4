"""The metrics and the functions that move them."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each series has a twin that nobody reads

# Seconds. Requests: up to long uploads. Platform calls: up to a chunk on a slow line. Lateness: from the
# promise (15 ms) to the default end of lateness (2 h).
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300)
LATENESS_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    *(2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200),
)

HTTP_REQUESTS = Counter("http_requests_total", "Total HTTP requests.", ["method", "endpoint", "status"])
HTTP_DURATION = Histogram(
    "http_request_duration_seconds",
    "From a request's arrival to the head of its answer, in seconds.",
    ["method", "endpoint"],
    buckets=REQUEST_BUCKETS,
)
VIDEO_UPLOADS = Counter("video_uploads_total", "Total video uploads.", ["status"])
VIDEO_POSTS = Counter("video_posts_total", "Total video posts.", ["platform", "status"])
POST_STEPS = Counter(
    "post_steps_total", "What follows a post, by how it ended.", ["platform", "kind", "status"]
)
PLATFORM_CALLS = Counter(
    "platform_api_calls_total", "Platform API calls.", ["platform", "operation", "status"]
)
PLATFORM_DURATION = Histogram(
    "platform_api_duration_seconds",
    "Duration of a platform API call, in seconds.",
    ["platform", "operation"],
    buckets=CALL_BUCKETS,
)
PLATFORM_CALLBACKS = Counter(
    "platform_callbacks_total", "Calls that platforms made to us.", ["platform", "purpose", "status"]
)
CELERY_TASKS = Counter("celery_tasks_total", "Job executions: rq_jobs_total again.", ["task_name", "status"])
RQ_JOBS = Counter("rq_jobs_total", "RQ job executions.", ["task_name", "status"])
PUBLISH_LATENESS = Histogram(
    "publish_lateness_seconds",
    "From a target's due time to the call that publishes it, in seconds.",
    ["platform"],
    buckets=LATENESS_BUCKETS,
)
VISIBLE_LATENESS = Histogram(
    "publish_visible_lateness_seconds",
    "From a target's due time until the platform said that the post exists, in seconds.",
    ["platform"],
    buckets=LATENESS_BUCKETS,
)
PUBLISHED_EARLY = Counter("publish_early_total", "Publishing calls before their time: stays 0.", ["platform"])


@cache
def requests_in_progress() -> Gauge:
    """Return the one metric without labels. It opens its file when made: not before the mode is settled."""
    return Gauge("http_requests_in_progress", "Requests being answered now.", multiprocess_mode="livesum")


def track_video_upload(status: str) -> None:
    """Count an upload: success, rejected or failed."""
    VIDEO_UPLOADS.labels(status).inc()


def track_video_post(platform: str, status: str) -> None:
    """Count how a target ended: success, failed, missed, unknown ..."""
    VIDEO_POSTS.labels(platform, status).inc()


def track_post_step(platform: str, kind: str, status: str) -> None:
    """Count how a step after a post ended: done, failed, unknown, cancelled."""
    POST_STEPS.labels(platform, kind, status).inc()


def track_platform_api_call(
    platform: str, operation: str, status: str, duration: float | None = None
) -> None:
    """Count a call to a platform and the seconds it took."""
    PLATFORM_CALLS.labels(platform, operation, status).inc()
    if duration is not None:
        PLATFORM_DURATION.labels(platform, operation).observe(duration)


def track_platform_callback(platform: str, purpose: str, status: str) -> None:
    """Count a call a platform made to us: accepted, or refused because it proved nothing."""
    PLATFORM_CALLBACKS.labels(platform, purpose, status).inc()


def track_rq_job(task_name: str, status: str) -> None:
    """Count a job's execution, under the guide's old name too."""
    RQ_JOBS.labels(task_name, status).inc()
    CELERY_TASKS.labels(task_name, status).inc()


track_celery_task = track_rq_job  # the guide's name for it


def track_publish_lateness(platform: str, seconds: float) -> None:
    """Record how long after its due time a target's publishing call began; below 0 it was early."""
    PUBLISH_LATENESS.labels(platform).observe(max(seconds, 0.0))
    if seconds < 0:
        PUBLISHED_EARLY.labels(platform).inc()


def track_visible_lateness(platform: str, seconds: float) -> None:
    """Record how long after its due time the platform said that a post exists."""
    VISIBLE_LATENESS.labels(platform).observe(max(seconds, 0.0))
