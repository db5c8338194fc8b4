"""What a person sees: what this is, the posts, and a page for each that plays exactly the stored bytes."""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template, request, send_file
from flask.typing import ResponseReturnValue

from sandbox.clock import isoformat
from sandbox.faults import ACTIONS, OPERATIONS
from sandbox.posts import MARKERS, Post, select
from sandbox.state import current

blueprint = Blueprint("feed", __name__)
_PAGE = 50
_AVATAR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9H0z" fill="#888"/></svg>'
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'; base-uri 'none'"


@blueprint.after_request
def guard(response: Response) -> Response:
    """Captions and files come from outside: no script runs, no type is guessed."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@blueprint.get("/")
def index() -> str:
    return render_template(
        "index.html",
        markers=MARKERS,
        actions=ACTIONS,
        operations=OPERATIONS,
        platforms=current().platforms,
        settings=vars(current().settings),
    )


@blueprint.get("/feed")
def feed() -> str:
    sandbox = current()
    wanted = {name: request.args.get(name) for name in ("platform", "account")}
    found = select(sandbox.posts.values(), **wanted)
    page = max(request.args.get("page", 1, int), 1)
    shown = [_shown(post) for post in found[(page - 1) * _PAGE : page * _PAGE]]
    more = len(found) > page * _PAGE
    return render_template(
        "feed.html", posts=shown, count=len(found), page=page, more=more, platforms=sandbox.platforms
    )


@blueprint.get("/<platform>/@<username>/video/<post_id>")
def post_page(platform: str, username: str, post_id: str) -> ResponseReturnValue:
    post = _post(post_id)
    if (post.platform, post.account) != (platform, username):
        abort(404)
    same = len(select(current().posts.values(), sha256=post.sha256))
    page = render_template("post.html", post=_shown(post), same=same)
    return page, 410 if post.is_removed(current().now()) else 200


@blueprint.get("/<platform>/@<username>")
def profile(platform: str, username: str) -> str:
    found = select(current().posts.values(), platform=platform, account=username)
    if current().accounts.get(f"{platform}/{username}") is None:
        abort(404)
    return render_template(
        "feed.html", posts=[_shown(post) for post in found[:_PAGE]], count=len(found), page=1, more=False
    )


@blueprint.get("/files/<post_id>")
def stored_file(post_id: str) -> Response:
    """Send the bytes that arrived, unchanged; Range and HEAD work."""
    post = _post(post_id)
    path = current().files.path(post.file)
    return send_file(path, mimetype=post.content_type, conditional=True, etag=post.sha256, max_age=0)


@blueprint.get("/avatar.svg")
def avatar() -> Response:
    return Response(_AVATAR, mimetype="image/svg+xml")


def _post(post_id: str) -> Post:
    return current().posts.get(post_id) or abort(404)


def _shown(post: Post) -> dict[str, object]:
    sandbox = current()
    facts = post.dump(base_url=request.host_url, now=sandbox.now())
    return facts | {
        "path": post.path,
        "visible": post.is_visible(sandbox.now()),
        "now": isoformat(sandbox.now()),
    }
