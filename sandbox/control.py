"""The control API under `/__sim/`: JSON in, JSON out, for tests, benchmarks and the demo."""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request

from sandbox import comments, oauth
from sandbox.accounts import Account, Client
from sandbox.clock import isoformat
from sandbox.faults import ACTIONS, OPERATIONS, Fault
from sandbox.posts import MARKERS, select
from sandbox.state import CLIENT_ID, Sandbox, current
from sandbox.webhooks import Sender

blueprint = Blueprint("control", __name__, url_prefix="/__sim")


@blueprint.errorhandler(ValueError)
def bad_value(error: ValueError) -> tuple[Response, int]:
    return jsonify(error=str(error)), 422


@blueprint.errorhandler(LookupError)
def not_there(error: LookupError) -> tuple[Response, int]:
    return jsonify(error=f"not found: {error}"), 404


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def _pick(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the named values. Raises ValueError for others."""
    if unknown := sorted(set(body) - set(names)):
        raise ValueError(f"unknown: {', '.join(unknown)}")
    return body


@blueprint.get("/")
def overview() -> Response:
    settings = asdict(current().settings)
    return jsonify(operations=OPERATIONS, actions=ACTIONS, markers=MARKERS, settings=settings)


@blueprint.get("/health")
def health() -> Response:
    return jsonify(status="healthy")


@blueprint.get("/environment")
def environment() -> Response:
    """The settings that lead the product to this sandbox, by platform."""
    base, host = request.url_root.rstrip("/"), request.host.partition(":")[0]
    modules = {name: _module(name) for name in current().platforms}
    return jsonify(
        {
            name: {key: value.format(base=base, host=host) for key, value in module.ENVIRONMENT.items()}
            for name, module in modules.items()
        }
    )


@blueprint.post("/reset")
def reset() -> Response:
    keep = _pick(_body(), "keep").get("keep", [])
    current().reset(keep=set(keep))
    _sender().forget()
    return jsonify(status="reset")


# -- clock and settings


@blueprint.get("/clock")
def show_clock() -> Response:
    clock = current().clock
    shown = {"now": clock.now(), "iso": isoformat(clock.now()), "offset_seconds": clock.offset}
    return jsonify(shown | {"frozen": clock.frozen_at is not None})


@blueprint.post("/clock")
def move_clock() -> Response:
    """`freeze`: true or false; then `set`: seconds since the epoch; then `advance`: seconds."""
    body, clock = _pick(_body(), "freeze", "set", "advance"), current().clock
    if "freeze" in body:
        (clock.freeze if body["freeze"] else clock.run)()
    if "set" in body:
        clock.set(float(body["set"]))
    if "advance" in body:
        clock.advance(float(body["advance"]))
    current().save_clock()
    return show_clock()


@blueprint.get("/settings")
def show_settings() -> Response:
    return jsonify(asdict(current().settings))


@blueprint.post("/settings")
def change_settings() -> Response:
    current().change_settings(_body())
    _sender().wake()
    return show_settings()


# -- accounts, clients, tokens


@blueprint.get("/accounts")
def list_accounts() -> Response:
    return jsonify(accounts=[_account(account) for account in current().accounts.values()])


@blueprint.post("/accounts")
def save_account() -> Response:
    """Make or change the account `platform` and `username` name."""
    sandbox, body = current(), _pick(_body(), *(spec.name for spec in fields(Account)))
    platform, username = _platform(sandbox, body), str(body.get("username", ""))
    if not username or not all(c.isalnum() or c in "._-" for c in username):
        raise ValueError("username: letters, digits, '.', '_' and '-' only")
    known = sandbox.accounts.get(f"{platform}/{username}") or Account(platform, username)
    sandbox.accounts.put(Account(**(asdict(known) | body | {"platform": platform})))
    return jsonify(_account(cast(Account, sandbox.accounts.get(known.key))))


def _account(account: Account) -> dict[str, Any]:
    return asdict(account) | {"remote_id": account.remote_id}


@blueprint.post("/clients")
def save_client() -> Response:
    sandbox, body = current(), _pick(_body(), *(spec.name for spec in fields(Client)))
    client = Client(**({"platform": _platform(sandbox, body)} | body))
    return jsonify(asdict(sandbox.clients.put(client)))


@blueprint.post("/tokens")
def make_token() -> Response:
    """Consent without the page: `account`, `scopes` (a list), `client_id`; answers both tokens."""
    sandbox, body = current(), _pick(_body(), "platform", "account", "scopes", "client_id")
    platform = _platform(sandbox, body)
    client = sandbox.clients.get(f"{platform}/{body.get('client_id', CLIENT_ID)}")
    account = sandbox.accounts.get(f"{platform}/{body.get('account', 'sandbox_creator')}")
    if client is None or account is None:
        raise LookupError("client or account")
    scopes = body.get("scopes") or _module(platform).SCOPES
    grant = getattr(_module(platform), "grant_tokens", oauth.grant_tokens)
    pair: oauth.Pair = grant(sandbox, client, account=account.username, scopes=scopes)
    tokens = {"access_token": pair.access.token, "refresh_token": pair.refresh.token}
    return jsonify(tokens | {"remote_id": account.remote_id, "expires_at": pair.access.expires_at})


@blueprint.post("/tokens/expire")
def expire_tokens() -> Response:
    """End the access tokens of `account` (none named: of everybody) ahead of their time; grants live on."""
    sandbox, body = current(), _pick(_body(), "platform", "account")
    platform, account = _platform(sandbox, body), body.get("account")
    grants = [grant for grant in sandbox.grants.values() if grant.platform == platform]
    ended = {grant.id for grant in grants if account in (None, grant.account)}
    with sandbox.store.transaction():
        found = [t for t in sandbox.tokens.values() if t.kind == "access" and t.grant_id in ended]
        for token in found:
            token.expires_at = sandbox.now()
            sandbox.tokens.put(token)
    return jsonify(expired=len(found))


@blueprint.post("/grants/revoke")
def revoke_grants() -> Response:
    """Withdraw every consent of `account`, as its user would; `reason` goes to the webhook."""
    sandbox, body = current(), _pick(_body(), "platform", "account", "reason")
    key = (_platform(sandbox, body), body.get("account", "sandbox_creator"))
    standing = [grant for grant in sandbox.grants.values() if grant.removed_at is None]
    found = [grant for grant in standing if (grant.platform, grant.account) == key]
    for grant in found:
        oauth.revoke(sandbox, grant, reason=int(body.get("reason", 1)))
    return jsonify(revoked=len(found))


def _platform(sandbox: Sandbox, body: dict[str, Any]) -> str:
    platform = str(body.get("platform", sandbox.platforms[0]))
    if platform not in sandbox.platforms:
        raise ValueError(f"platform: must be one of {', '.join(sandbox.platforms)}")
    return platform


# -- faults


@blueprint.get("/faults")
def list_faults() -> Response:
    return jsonify(faults=[fault.dump() for fault in current().faults.list()])


@blueprint.post("/faults")
def arm_fault() -> tuple[Response, int]:
    """Arm one. `operation` is `platform.name`, or `name` beside `platform`; see Fault for the rest."""
    body = dict(_body())
    platform, name = body.pop("platform", None), str(body.get("operation", ""))
    if platform and not name.startswith(f"{platform}."):
        body["operation"] = f"{platform}.{name}"
    if "probability" in body:
        body.setdefault("times", -1)
    settable = {spec.name for spec in fields(Fault)} - {"id", "seen", "fired"}
    if "operation" not in body or "action" not in body:
        raise ValueError("operation and action are needed")
    fault = current().faults.add(Fault(**_pick(body, *settable)))
    return jsonify(fault.dump()), 201


@blueprint.delete("/faults")
@blueprint.delete("/faults/<fault_id>")
def clear_faults(fault_id: str | None = None) -> Response:
    current().faults.clear(fault_id)
    return list_faults()


# -- what happened


@blueprint.get("/requests")
def list_requests() -> Response:
    """Answer `counts` by operation and the recorded requests whose fields equal the query's."""
    wanted, limit = request.args.to_dict(), request.args.get("limit", 1_000, int)
    wanted.pop("limit", None)
    found = current().recorder.find(wanted)
    return jsonify(
        count=len(found), counts=current().recorder.counts(), requests=found[-limit:] if limit else []
    )


@blueprint.delete("/requests")
def clear_requests() -> Response:
    current().recorder.clear()
    return jsonify(status="cleared")


@blueprint.get("/posts")
def list_posts() -> Response:
    """Answer the posts that were made, newest first; `count` is of all that match, `limit` of those shown."""
    asked = _pick(request.args.to_dict(), "platform", "account", "caption", "sha256", "publish_id", "limit")
    limit = int(asked.pop("limit", 10_000))
    found, sandbox = select(current().posts.values(), **asked), current()
    shown = [post.dump(base_url=request.host_url, now=sandbox.now()) for post in found[:limit]]
    return jsonify(count=len(found), posts=shown)


@blueprint.post("/posts/<post_id>/remove")
def remove_post(post_id: str) -> Response:
    sandbox, body = current(), _pick(_body(), "reason")
    post = sandbox.posts.get(post_id)
    if post is None:
        raise LookupError("post")
    with sandbox.store.transaction():
        post.removed_at, post.removed_reason = sandbox.now(), body.get("reason", "removed by control")
        sandbox.posts.put(post)
    return jsonify(post.dump(base_url=request.host_url, now=sandbox.now()))


@blueprint.get("/comments")
def list_comments() -> Response:
    """Answer the comments that were made, oldest first."""
    asked = _pick(request.args.to_dict(), "platform", "account", "post_id", "text")
    found = comments.select(current().comments.values(), **asked)
    return jsonify(count=len(found), comments=[comment.dump() for comment in found])


@blueprint.get("/uploads")
def list_uploads() -> Response:
    """Answer every announced upload without its secret, oldest first."""
    hidden = {"secret"}
    uploads = [{k: v for k, v in vars(u).items() if k not in hidden} for u in current().uploads.values()]
    return jsonify(uploads=sorted(uploads, key=lambda upload: upload["created_at"]))


@blueprint.post("/uploads/<upload_id>/finish")
def finish_draft(upload_id: str) -> Response:
    """Publish a draft from the inbox: `caption`, `privacy`. May be called again: one draft, two posts."""
    sandbox, body = current(), _pick(_body(), "caption", "privacy")
    upload = sandbox.uploads.get(upload_id)
    if upload is None:
        raise LookupError("upload")
    module = _module(upload.platform)
    caption, privacy = body.get("caption", ""), body.get("privacy", "PUBLIC_TO_EVERYONE")
    post = module.finish_draft(sandbox, upload, caption=caption, privacy=privacy)
    return jsonify(post.dump(base_url=request.host_url, now=sandbox.now()))


@blueprint.get("/webhooks")
def list_deliveries() -> Response:
    return jsonify(deliveries=_sender().deliveries)


def _module(platform: str) -> ModuleType:
    return import_module(f"sandbox.platforms.{platform}")


def _sender() -> Sender:
    return cast(Sender, current_app.extensions["sandbox.webhooks"])
