"""The one place that reads the environment.

`load()` returns a frozen `Settings` or raises `ConfigError` with every fault at once. The name of a setting
in the environment is its field name in capitals; its explanation is its `doc`, from which `.env.example` is
made. Sources, strongest first: the process environment, `.env`, and what the runner made: while it runs
`DATA_DIR/run/stack.env` (addresses it chose), and `DATA_DIR/secrets.env`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from dotenv import dotenv_values

from app import config_faults

SERVICE_NAME = "Multi-Platform Video Scheduler"
VERSION = "0.1.0"
GIB = 1024**3


class ConfigError(Exception):
    """The configuration cannot be used; `faults` lists everything that is wrong, one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The configuration has faults:\n" + "\n".join(f"  - {fault}" for fault in faults))


class SettingSpec(Protocol):
    """What a platform declares about one of its settings (see app/platforms/base.py)."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def doc(self) -> str: ...
    @property
    def secret(self) -> bool: ...


def _setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"doc": doc, "secret": secret}, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    # -- what this installation is
    app_env: str = _setting("development", "development or production. Production refuses what is unsafe.")
    app_version: str = _setting(VERSION, "Shown by /health and sent to Sentry as the release.")
    debug: bool = _setting(False, "Readable, chatty logs. Refused in production.")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    data_dir: Path = _setting(Path("var"), "The one folder that holds all state of this machine.")

    # -- where it is reached
    public_url: str = _setting(
        "http://127.0.0.1:8000", "The address people and platforms reach us at: callbacks, media links."
    )
    bind: str = _setting("127.0.0.1:8000", "HOST:PORT the web server listens on.")
    trusted_proxies: int = _setting(0, "How many reverse proxies in front set X-Forwarded-*. 0: none.")
    cors_origins: tuple[str, ...] = _setting(
        (), "Comma-separated origins browsers may call us from. Empty: none."
    )
    web_threads: int = _setting(8, "Threads of each web process.")
    web_processes: int = _setting(1, "Web processes.")

    # -- secrets (the runner makes them once; see DATA_DIR/secrets.env)
    secret_key: str = _setting("", "Signs cookies and file links. At least 32 characters.", secret=True)
    jwt_secret_key: str = _setting("", "Signs access tokens. At least 32 characters.", secret=True)
    encryption_keys: str = _setting(
        "", "Key ring for tokens at rest: id:base64-of-32-bytes, comma-separated, newest first.", secret=True
    )

    # -- parts
    database_url: str = _setting(
        "", "sqlite:////path/file.db or postgresql+psycopg://... Empty: SQLite in DATA_DIR.", secret=True
    )
    database_pool_size: int = _setting(10, "Connections each process may hold to PostgreSQL.")
    redis_url: str = _setting("", "redis://... Empty: the runner starts a bundled one.", secret=True)
    queue_prefix: str = _setting("vs", "Prefix of queue names, so that installations may share a Redis.")
    ffmpeg_path: str = _setting("", "The ffmpeg to use. Empty: on the PATH, else the one from pip.")

    # -- files
    storage_backend: str = _setting("folder", "folder (under DATA_DIR) or s3.")
    s3_bucket: str = _setting("", "Bucket for videos, when STORAGE_BACKEND is s3.")
    s3_region: str = _setting("us-east-1", "Region of the bucket.")
    s3_endpoint_url: str = _setting("", "Address of an S3-compatible store. Empty: AWS.")
    s3_access_key_id: str = _setting("", "Empty: the usual AWS sources.", secret=True)
    s3_secret_access_key: str = _setting("", "Empty: the usual AWS sources.", secret=True)
    s3_checksums: str = _setting("when_required", "when_required (other stores) or when_supported (AWS).")
    max_upload_bytes: int = _setting(10 * GIB, "Largest video accepted, in bytes.")
    upload_idle_seconds: int = _setting(
        86400, "An upload in pieces is cleared away when nothing has come for this long."
    )
    upload_threads: int = _setting(
        0, "Threads of each web process that may receive files at once. 0: half of WEB_THREADS."
    )
    min_free_bytes: int = _setting(
        GIB // 2, "Uploads are refused and conversions wait when less than this stays free on disk."
    )
    work_budget_bytes: int = _setting(
        20 * GIB, "Most bytes that files being converted may have on one machine, all together."
    )
    retain_originals_days: float = _setting(
        0.0,
        "Days after its last post (unused: its upload) a video's file is kept, then archived. 0: for ever.",
    )
    retain_renditions_days: float = _setting(
        30.0, "Days after the last post a converted file is kept; it is made anew when needed. 0: for ever."
    )
    workspace_storage_bytes: int = _setting(
        0, "Bytes of videos each workspace may store, unless `flask storage limit` says another. 0: no limit."
    )
    file_link_seconds: int = _setting(3600, "How long a signed link to a file works.")

    # -- people
    registration: str = _setting(
        "invitation", "open, invitation or closed. The first user may always register."
    )
    access_token_seconds: int = _setting(900, "Life of an access token.")
    refresh_token_seconds: int = _setting(30 * 86400, "Life of a login that is not used.")
    login_rate_limit: str = _setting("10 per minute; 100 per hour", "Logins per address and per e-mail.")
    api_rate_limit: str = _setting("600 per minute", "Requests per principal, else per address.")

    outgoing_networks: tuple[str, ...] = _setting(
        (),
        "Private networks webhooks may reach, as 10.1.0.0/16, comma-separated. Empty: public addresses only.",
    )

    # -- mail: invitations and forgotten passwords
    smtp_url: str = _setting(
        "",
        "smtp://user:password@host:587 (STARTTLS), smtps:// or smtp+plain://. Empty: in development mails are "
        "printed by the worker, in production none are sent.",
        secret=True,
    )
    mail_from: str = _setting("scheduler@localhost", "Sender of the mails.")

    # -- whom /privacy and /terms name: app reviews ask for both
    operator_name: str = _setting("", "Who runs this installation: a person or a company.")
    operator_email: str = _setting("", "Where people write to about their data.")

    # -- publishing (seconds)
    late_after_seconds: int = _setting(7200, "A post later than this is missed rather than posted.")
    stage_lease_seconds: float = _setting(45.0, "Lease of background work, renewed at a third of its length.")
    commit_lease_seconds: float = _setting(20.0, "Lease of a commit, counted from its due time.")
    commit_deadline_seconds: float = _setting(15.0, "Total time the one call that publishes may take.")
    settle_seconds: float = _setting(5.0, "Added before a platform is asked what became of a cut-off call.")
    protocol_pace: float = _setting(1.0, "Divides the platforms' own waits; for proofs, leave at 1.")
    commit_ahead_seconds: float = _setting(2.0, "How long before its time a commit is claimed and armed.")
    stage_yield_seconds: float = _setting(30.0, "An upload lets others go first after this long.")
    commit_threads: int = _setting(128, "Calls a commit job makes at once.")
    commit_batch: int = _setting(100, "Targets that share one commit job.")
    workers: str = _setting(
        "media=1,stage=2,commit=1,default=1",
        "Worker processes per queue started by `flask workers`; dispatcher=1 among them adds a dispatcher.",
    )

    # -- watching it
    sentry_dsn: str = _setting("", "Empty: nothing is sent.", secret=True)
    sentry_traces_sample_rate: float = _setting(0.1, "Share of requests traced, 0 to 1.")
    metrics_token: str = _setting("", "When set, /metrics asks for it as a bearer token.", secret=True)
    metrics_port: int = _setting(
        0, "Port on which workers and the dispatcher serve /metrics and /health. 0: none."
    )
    health_details: str = _setting(
        "public", "public, or token: then details are for bearers of METRICS_TOKEN."
    )

    # -- for development and proofs
    sandbox_url: str = _setting("", "Where the sandbox is, for the link on the start page. Development only.")
    crash_points: str = _setting("", "Named points at which a process kills itself. Tests only.")

    platforms: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @property
    def is_production(self) -> bool:
        return self.app_env == "production"

    @property
    def storage_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def metrics_dir(self) -> Path:
        return self.data_dir / "metrics"

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'scheduler.db').resolve()}"

    @property
    def is_sqlite(self) -> bool:
        return self.sqlalchemy_url.startswith("sqlite")


def setting_fields() -> list[Field[Any]]:
    """Return the fields of Settings that come from the environment, in order."""
    return [item for item in fields(Settings) if "doc" in item.metadata]


def load(
    environ: Mapping[str, str] | None = None,
    *,
    platforms: Mapping[str, tuple[SettingSpec, ...]] | None = None,
) -> Settings:
    """Return the settings, from `environ` if given, else from the process and its files.

    `platforms` maps a platform's name to the settings it declares; they are read as NAME_SETTING.
    Raises ConfigError with all faults at once.
    """
    source = read_environment() if environ is None else environ
    faults: list[str] = []
    values = {item.name: _parse(item, source, faults) for item in setting_fields()}
    settings = Settings(**values, platforms=_platform_values(source, platforms or {}))
    faults += config_faults.faults(settings)
    if faults:
        raise ConfigError(faults)
    return settings


def read_environment() -> dict[str, str]:
    """Merge DATA_DIR/secrets.env, what a running stack decided, `.env` and the process, the last winning."""
    merged = _read_env_file(Path(".env")) | dict(os.environ)
    data_dir = Path(merged.get("DATA_DIR") or "var")
    return _read_env_file(data_dir / "secrets.env") | _read_env_file(data_dir / "run" / "stack.env") | merged


def _read_env_file(path: Path) -> dict[str, str]:
    return {key: value for key, value in dotenv_values(path).items() if value is not None}


def _platform_values(
    source: Mapping[str, str], platforms: Mapping[str, tuple[SettingSpec, ...]]
) -> dict[str, dict[str, str]]:
    return {
        name: {spec.name: source.get(f"{name}_{spec.name}".upper(), spec.default) for spec in specs}
        for name, specs in platforms.items()
    }


def _parse(item: Field[Any], source: Mapping[str, str], faults: list[str]) -> Any:
    assert item.default is not MISSING
    raw = source.get(item.name.upper(), "").strip()
    if not raw:
        return item.default
    try:
        return _PARSERS[str(item.type)](raw)
    except ValueError:
        faults.append(f"{item.name.upper()} must be {_NOUNS[str(item.type)]}, found {_shown(item, raw)}.")
        return item.default


def _shown(item: Field[Any], raw: str) -> str:
    return "something else" if item.metadata["secret"] else repr(raw)


def _boolean(raw: str) -> bool:
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(raw)


_PARSERS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _boolean,
    "Path": Path,
    "tuple[str, ...]": lambda raw: tuple(part.strip() for part in raw.split(",") if part.strip()),
}
_NOUNS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
