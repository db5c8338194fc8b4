"""Instagram: Reels through both hosts of the Graph API, as documented in 2026.

Sections 3 and 9 of the project's platform reference name every rule. A container takes its bytes from the upload
host or fetches them from a link; it becomes one post by `media_publish`, and never a second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, g, jsonify, make_response, redirect, request
from flask.typing import ResponseReturnValue

from sandbox import comments, feed, uploads
from sandbox.accounts import Account
from sandbox.comments import Comment
from sandbox.faults import Fault, declare, operation
from sandbox.oauth import Grant
from sandbox.platforms import _instagram_life as life
from sandbox.platforms import _instagram_login as login
from sandbox.platforms._instagram_login import META, caller_of, grant_tokens
from sandbox.platforms._instagram_rules import (
    CONTAINER_FIELDS,
    CONTAINER_LIFE,
    CONTAINERS_PER_DAY,
    FACEBOOK_SCOPES,
    MEDIA_FIELDS,
    METRICS,
    check_container,
)
from sandbox.platforms._meta import GraphError, number, paged, speak_graph
from sandbox.platforms._meta_rupload import UploadRefusedError, new_upload, receive
from sandbox.posts import Post, read_markers, select
from sandbox.state import CLIENT_ID, CLIENT_SECRET, current

__all__ = ["ENVIRONMENT", "LABEL", "SCOPES", "blueprint", "grant_tokens", "notices"]
LABEL = "Instagram"
# The settings that lead the product here; {base} is the sandbox's address, {host} its host name.
ENVIRONMENT = {
    "INSTAGRAM_DIALOG_URL": "{base}/instagram/www/v26.0/dialog/oauth",
    "INSTAGRAM_FACEBOOK_GRAPH_BASE": "{base}/instagram/graph.facebook/v26.0",
    "INSTAGRAM_AUTH_URL": "{base}/instagram/www/oauth/authorize",
    "INSTAGRAM_TOKEN_URL": "{base}/instagram/api.instagram/oauth/access_token",
    "INSTAGRAM_GRAPH_BASE": "{base}/instagram/graph.instagram/v26.0",
    "INSTAGRAM_UPLOAD_HOSTS": "{host}",
    "INSTAGRAM_WEB_URL": "{base}/instagram",
    "INSTAGRAM_FACEBOOK_APP_ID": CLIENT_ID,
    "INSTAGRAM_FACEBOOK_APP_SECRET": CLIENT_SECRET,
    "INSTAGRAM_APP_ID": CLIENT_ID,
    "INSTAGRAM_APP_SECRET": CLIENT_SECRET,
    "INSTAGRAM_WEBHOOK_VERIFY_TOKEN": "sandbox-verify-token",
}
SCOPES = [*FACEBOOK_SCOPES]
DAY = 86_400.0
NODE = '/<any("graph.facebook","graph.instagram"):host>/<version>/<node>'
blueprint = Blueprint("instagram", __name__, url_prefix="/instagram")
blueprint.register_blueprint(META.blueprint)
blueprint.register_blueprint(login.blueprint)
speak_graph(blueprint)
notices = META.notices


@blueprint.errorhandler(UploadRefusedError)
def upload_refused(refusal: UploadRefusedError) -> ResponseReturnValue:
    return refusal.answer()


# -- who, and what is meant


def _account(host: str, node: str, *scopes: str) -> tuple[Account, Grant]:
    """Return the account the path names, if the token may act for it. Raises GraphError."""
    caller, own = caller_of(host, *scopes)
    accounts = [account for account in current().accounts.values() if account.platform == "instagram"]
    named = next((account for account in accounts if account.remote_id == node), None)
    if named is None or (own is not None and own.key != named.key):
        raise _gone()
    g.account = named.username
    return named, caller.grant


def _container(node: str) -> uploads.Upload | None:
    found = current().uploads.get(node)
    return found if found is not None and found.platform == "instagram" else None


def _may_use(container: uploads.Upload, grant: Grant, account: Account | None) -> bool:
    """Tell whether a token is of the app that made the container and may act for its account (None: for all)."""
    is_theirs = account is None or account.username == container.account
    return is_theirs and container.client_id == grant.client_id


def _post(node: str) -> Post | None:
    found = current().posts.get(node)
    usable = found is not None and found.platform == "instagram"
    return found if usable and found is not None and not found.is_removed(current().now()) else None


def _own_post(host: str, node: str, *scopes: str) -> tuple[Post, Grant]:
    caller, own = caller_of(host, *scopes)
    post = _post(node)
    if post is None or (own is not None and own.username != post.account):
        raise _gone()
    g.account = post.account
    return post, caller.grant


def _gone() -> GraphError:
    message = "Object does not exist, cannot be loaded due to missing permissions."
    return GraphError(400, 100, message, subcode=33)


def _fields(known: set[str], default: str) -> list[str]:
    asked = [name for name in request.args.get("fields", default).split(",") if name]
    if not set(asked) <= known:
        raise GraphError(400, 100, "Tried accessing nonexisting field.")
    return asked


# -- containers


@blueprint.post(f"{NODE}/media")
@operation("instagram.container", "Make a container.")
def make_container(host: str, version: str, node: str) -> ResponseReturnValue:
    account, grant = _account(host, node, "instagram_content_publish", "instagram_basic")
    sandbox, fields = current(), request.form.to_dict()
    check_container(
        fields, takes_uploads=host == "graph.facebook" or sandbox.settings.instagram_login_rupload
    )
    if account.cannot_post:
        raise GraphError(400, 25, "The account is restricted.", subcode=2207050)
    _check_count(account)
    if url := fields.get("cover_url"):
        life.check_link(url).close()
    opened = life.check_link(fields["video_url"]) if "video_url" in fields else None
    caption = fields.get("caption", "")
    details = {"mode": "url" if opened else "resumable", "caption": caption, "fields": fields}
    details |= {"video_url": fields.get("video_url", "")}
    container = new_upload(
        sandbox,
        platform="instagram",
        client_id=grant.client_id,
        account=account.username,
        lifetime=CONTAINER_LIFE,
        markers=read_markers(caption),
        details=details,
    )
    sandbox.uploads.put(container)
    if opened is not None:
        life.fetch(sandbox, container, opened)
        return jsonify(id=container.id)
    uri = f"{request.host_url}instagram/rupload/ig-api-upload/{version}/{container.id}"
    return jsonify(id=container.id, uri=uri)


def _check_count(account: Account) -> None:
    sandbox = current()
    made = [item for item in sandbox.uploads.values() if item.platform == "instagram"]
    recent = [i for i in made if i.account == account.username and i.created_at > sandbox.now() - DAY]
    if sandbox.settings.rate_limits and len(recent) >= CONTAINERS_PER_DAY:
        raise GraphError(403, 80002, "There have been too many calls to this Instagram account.")


@blueprint.post("/rupload/ig-api-upload/<version>/<container_id>")
@operation("instagram.upload", "Bytes of a video.")
def upload(version: str, container_id: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
    try:
        caller = META.caller(scheme="OAuth")
    except GraphError:
        raise UploadRefusedError("NotAuthorizedError", "The token is not valid.") from None
    sandbox, container = current(), _container(container_id)
    usable = container is not None and container.details["mode"] == "resumable"
    if not usable or container is None or not _may_use(container, caller.grant, caller.account):
        raise UploadRefusedError("NotFoundError", "There is no such upload.")
    if life.state(sandbox, container)[0] != "IN_PROGRESS":
        raise UploadRefusedError("ProcessingFailedError", "Request processing failed")
    g.account = container.account
    return receive(container, on_complete=lambda done: _complete(done))


def _complete(container: uploads.Upload) -> None:
    life.complete(current(), container)


# -- publishing


def _marked() -> tuple[str, Fault | None]:
    """Name the commit; the caption's markers strike only one that would publish."""
    container = _container(request.form.get("creation_id", ""))
    if container is None or life.state(current(), container)[0] != "FINISHED":
        return "instagram.publish", None
    for name in ("drop-before", "drop-after", "slow"):
        with current().store.transaction():
            if name not in container.markers or name in container.spent:
                continue
            container.spent.append(name)
            current().uploads.put(container)
        if name == "slow":
            seconds = float(container.markers[name]) if container.markers[name].isdigit() else 5.0
            return "instagram.publish", Fault("instagram.publish", "delay", when="after", seconds=seconds)
        return "instagram.publish", Fault("instagram.publish", name.replace("-", "_"))
    return "instagram.publish", None


@blueprint.post(f"{NODE}/media_publish")
@operation("instagram.publish", "Publish a container: the commit.", resolve=_marked)
def publish(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    account, grant = _account(host, node, "instagram_content_publish")
    container = _container(request.form.get("creation_id", ""))
    if container is None or not _may_use(container, grant, account):
        raise GraphError(400, 24, "The requested media does not exist.", subcode=2207006)
    if account.cannot_post:
        raise GraphError(400, 25, "The account is restricted.", subcode=2207050)
    if life.state(current(), container)[0] == "FINISHED" and _used(account) >= _quota():
        raise GraphError(403, 9, "The account has reached its posts for 24 hours.", subcode=2207042)
    return jsonify(id=life.publish(current(), container, received_at=g.received_at).id)


def _used(account: Account) -> int:
    made = select(current().posts.values(), platform="instagram", account=account.username)
    return len([post for post in made if post.created_at > current().now() - DAY])


def _quota() -> int:
    settings = current().settings
    return settings.instagram_quota if settings.rate_limits else 1_000_000


@blueprint.get(f"{NODE}/content_publishing_limit")
@operation("instagram.publishing_limit", "How many posts of the day are left.")
def publishing_limit(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    account, _ = _account(host, node, "instagram_content_publish")
    facts = {
        "quota_usage": _used(account),
        "config": {"quota_total": _quota(), "quota_duration": int(DAY)},
    }
    return jsonify(data=[{name: facts[name] for name in _fields(set(facts), "quota_usage")}])


# -- what is there


def _which_node() -> tuple[str, Fault | None]:
    is_container = _container(str((request.view_args or {}).get("node"))) is not None
    return "instagram.container_status" if is_container else "instagram.media", None


declare("instagram.container_status", "How far a container is.")


@blueprint.get(NODE)
@operation("instagram.media", "A post.", resolve=_which_node)
def show_node(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    if (container := _container(node)) is None:
        post, _ = _own_post(host, node, "instagram_basic")
        return jsonify(_media(post, _fields(MEDIA_FIELDS, "id")))
    caller, own = caller_of(host, "instagram_basic")
    if not _may_use(container, caller.grant, own):
        raise _gone()
    g.account = container.account
    life.fetch_again(current(), container)
    status, cause = life.state(current(), container)
    words = f"Error: Media upload has failed with error code {cause}" if cause else status.title()
    facts: dict[str, Any] = {
        "id": container.id,
        "status_code": status,
        "status": words,
        "video_status": life.video_status(container, status),
    }
    return jsonify({name: facts[name] for name in {"id", *_fields(CONTAINER_FIELDS, "id")}})


@blueprint.delete(NODE)
@operation("instagram.remove", "Delete a post.")
def remove(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    post, grant = _own_post(host, node, "instagram_basic")
    if host != "graph.facebook" or "instagram_manage_contents" not in grant.scopes:
        raise GraphError(403, 10, "Requires the permission instagram_manage_contents.")
    with current().store.transaction():
        post.removed_at, post.removed_reason = current().now(), "deleted by its owner"
        current().posts.put(post)
    return jsonify(success=True)


@blueprint.get(f"{NODE}/media")
@operation("instagram.media_list", "The account's posts, newest first.")
def media_list(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    account, _ = _account(host, node, "instagram_basic")
    found = select(current().posts.values(), platform="instagram", account=account.username)
    asked = _fields(MEDIA_FIELDS, "id")
    return jsonify(paged([_media(post, asked) for post in found if post.is_visible(current().now())]))


def _media(post: Post, asked: list[str]) -> dict[str, Any]:
    made_at = datetime.fromtimestamp(post.created_at, UTC)
    facts = {
        "id": post.id,
        "caption": post.caption,
        "timestamp": made_at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "permalink": request.host_url.rstrip("/") + post.path,
        "shortcode": life.shortcode(post.id),
        "media_type": "VIDEO",
        "media_product_type": "REELS",
        "like_count": _figure(post, "likes"),
        "comments_count": len(comments.select(current().comments.values(), post_id=post.id)),
        "thumbnail_url": f"{request.host_url}avatar.svg",
        "username": post.account,
    }
    shown = {"id", *asked} - ({"caption"} if not post.caption else set())  # an empty one is left out
    return {name: facts[name] for name in facts if name in shown}


def _figure(post: Post, name: str) -> int:
    """Return a number that stays the same for a post, as likes and views would from one look to the next."""
    return int(number("figure", post.id, name)) % 1000


@blueprint.get(f"{NODE}/insights")
@operation("instagram.insights", "A post's figures.")
def insights(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    post, _ = _own_post(host, node, "instagram_manage_insights")
    asked = [name for name in request.args.get("metric", "").split(",") if name]
    if not asked or not set(asked) <= METRICS:
        raise GraphError(400, 100, "metric must be one of the following values.")
    made = {"comments": len(comments.select(current().comments.values(), post_id=post.id))}
    values = {name: made.get(name, _figure(post, name)) for name in asked}
    return jsonify(
        data=[{"name": n, "period": "lifetime", "values": [{"value": v}]} for n, v in values.items()]
    )


# -- comments


@blueprint.route(f"{NODE}/comments", methods=["GET"])
@operation("instagram.comments", "A post's comments, newest first.")
def list_comments(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    post, _ = _own_post(host, node, "instagram_manage_comments")
    found = comments.listed(current(), post_id=post.id)
    show: Callable[[Comment], dict[str, Any]] = lambda item: {  # noqa: E731 - it is used once
        "id": item.id,
        "text": item.text,
        "username": item.account,
        "timestamp": datetime.fromtimestamp(item.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
    return jsonify(paged([show(item) for item in reversed(found)]))


@blueprint.post(f"{NODE}/comments")
@operation("instagram.comment", "Write a comment.")
def write_comment(host: str, version: str, node: str) -> ResponseReturnValue:  # noqa: ARG001
    post, _ = _own_post(host, node, "instagram_manage_comments")
    message = request.form.get("message", "")
    if not message.strip():
        raise GraphError(400, 100, "The parameter message is required.")
    sandbox = current()
    count = len(sandbox.comments.values())
    comment_id = str(18 * 10**15 + int(number("comment", post.id, str(count), message)) % 10**15)
    made = Comment(comment_id, "instagram", post.id, post.account, message, sandbox.now())
    return jsonify(id=sandbox.comments.put(made).id)


# -- pages people see


@blueprint.get("/reel/<code>/")
def reel(code: str) -> ResponseReturnValue:
    found = [post for post in current().posts.values() if post.path == f"/instagram/reel/{code}/"]
    if not found:
        return "There is no such reel.", 404
    return feed.guard(make_response(feed.post_page("instagram", found[0].account, found[0].id)))


@blueprint.get("/<username>/")
def profile(username: str) -> ResponseReturnValue:
    return redirect(f"/instagram/@{username}")
