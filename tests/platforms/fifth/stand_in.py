"""The made-up platform's server. `post` makes the post, once for each upload."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import secrets
import time

from flask import Blueprint, Response, abort, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox import oauth
from sandbox.accounts import Account
from sandbox.faults import operation
from sandbox.oauth import Consent
from sandbox.posts import Post
from sandbox.state import CLIENT_ID, CLIENT_SECRET, current
from sandbox.uploads import Upload

LABEL = "Kite"
ENVIRONMENT = {
    "KITE_BASE": "{base}/kite",
    "KITE_CLIENT_ID": CLIENT_ID,
    "KITE_CLIENT_SECRET": CLIENT_SECRET,
}
SCOPES = ["post"]
CONSENT = Consent(
    platform="kite",
    label=LABEL,
    client_parameter="client_id",
    scope_separator=" ",
    scopes={"post": "post for you"},
)
blueprint = Blueprint("kite", __name__, url_prefix="/kite")


# -- who


@blueprint.route("/authorize", methods=["GET", "POST"])
@operation("kite.authorize", "The consent page.")
def authorize() -> ResponseReturnValue:
    return CONSENT.answer(current())


@blueprint.post("/token")
@operation("kite.token", "Codes and refresh tokens to tokens.")
def token() -> ResponseReturnValue:
    try:
        pair = _pair()
    except oauth.GrantRefusedError as refusal:
        return jsonify(error=refusal.code), 400
    tokens = {"access_token": pair.access.token, "refresh_token": pair.refresh.token}
    return jsonify(expires_in=int(pair.access.expires_at - current().now()), **tokens)


def _pair() -> oauth.Pair:
    form = request.form
    client = current().clients.get(f"kite/{form['client_id']}")
    if client is None or not hmac.compare_digest(client.secret, form["client_secret"]):
        raise oauth.GrantRefusedError("invalid_client", "Wrong client.")
    if form["grant_type"] == "refresh_token":
        return oauth.refresh_tokens(current(), client, refresh_token=form["refresh_token"])
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return oauth.redeem_code(
        current(),
        client,
        code=form["code"],
        redirect_uri=form["redirect_uri"],
        proves=lambda challenge: hmac.compare_digest(challenge, expected),
    )


def _account() -> Account:
    value = request.headers.get("Authorization", "").removeprefix("Bearer ")
    _, grant = oauth.find_token(current(), value, kind="access")
    account = current().accounts.get(f"kite/{grant.account}") if grant else None
    return account or abort(401)


@blueprint.get("/me")
@operation("kite.me", "Who the token's person is.")
def me() -> Response:
    account = _account()
    return jsonify(id=account.remote_id, username=account.username)


# -- posting


@blueprint.post("/uploads")
@operation("kite.upload", "A video, whole.")
def upload() -> Response:
    sandbox, account, body = current(), _account(), request.get_data()
    number, now = secrets.token_hex(8), sandbox.now()
    made = Upload(number, "kite", number, "", CLIENT_ID, account.username, len(body), now, now + 86_400)
    piece = sandbox.files.receive(number, io.BytesIO(body), start=0, length=len(body))
    with sandbox.files.lock(number):
        sandbox.files.append(number, piece)
    made.received, made.details = len(body), {"sha256": piece.hasher.hexdigest()}
    return _shown(sandbox.uploads.put(made))


@blueprint.get("/uploads/<number>")
@operation("kite.status", "What became of an upload.")
def status(number: str) -> Response:
    return _shown(_own(number))


@blueprint.post("/uploads/<number>/post")
@operation("kite.post", "Make an upload a post: the commit.")
def post(number: str) -> Response:
    sandbox = current()
    with sandbox.store.transaction():
        found = _own(number)
        if found.post_ids:
            abort(409)
        now, post_id = sandbox.now(), f"kite{number}"
        sandbox.posts.put(
            Post(
                id=post_id,
                platform="kite",
                account=found.account,
                caption=request.form["caption"],
                privacy=request.form["wind"],
                sha256=found.details["sha256"],
                size=found.size,
                content_type="video/mp4",
                file=number,
                publish_id=number,
                path=f"/kite/@{found.account}/video/{post_id}",
                created_at=now,
                visible_at=now,
                commit_received_at=g.received_at,
                commit_finished_at=time.time(),
            )
        )
        found.post_ids, found.committed_at = [post_id], now
        sandbox.uploads.put(found)
    return _shown(found)


def _own(number: str) -> Upload:
    account, found = _account(), current().uploads.get(number)
    if found is None or (found.platform, found.account) != ("kite", account.username):
        abort(404)
    return found


def _shown(upload: Upload) -> Response:
    made = current().posts.get(upload.post_ids[0]) if upload.post_ids else None
    url = request.host_url.rstrip("/") + made.path if made else None
    return jsonify(id=upload.id, post_id=made.id if made else None, url=url)
