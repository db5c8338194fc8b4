"""TikTok's Login Kit v2: consent, tokens, and who calls. Flat JSON; errors come with HTTP 200."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox import oauth
from sandbox.accounts import Account, Client
from sandbox.faults import operation
from sandbox.oauth import Consent, Grant
from sandbox.platforms._tiktok_rules import RATES, RefusedError
from sandbox.state import current

blueprint = Blueprint("login", __name__)
CONSENT = Consent(
    platform="tiktok",
    label="TikTok",
    client_parameter="client_key",
    scope_separator=",",
    challenge_pattern="[0-9a-f]{64}",  # not RFC 7636: the hexadecimal SHA-256 of the verifier
    scopes={
        "user.info.basic": "read your name and picture",
        "user.info.profile": "read your profile and user name",
        "user.info.stats": "read your numbers of followers, likes and videos",
        "video.list": "list your public videos",
        "video.publish": "publish videos for you",
        "video.upload": "send videos to your inbox as drafts",
    },
)


@dataclass(frozen=True)
class Caller:
    token: str
    grant: Grant
    account: Account


def envelope(data: dict[str, Any], code: str = "ok", message: str = "") -> Response:
    g.error_code = None if code == "ok" else code
    return jsonify(data=data, error={"code": code, "message": message, "log_id": new_log_id()})


def new_log_id() -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime()) + secrets.token_hex(9).upper()


@blueprint.route("/v2/auth/authorize/", methods=["GET", "POST"])
@operation("tiktok.authorize", "The consent page.")
def authorize() -> ResponseReturnValue:
    return CONSENT.answer(current())


@blueprint.post("/v2/oauth/token/")
@operation("tiktok.token", "Codes and refresh tokens to tokens.")
def token() -> ResponseReturnValue:
    try:
        client = _client()
        if request.form.get("grant_type") == "authorization_code":
            return jsonify(_dump(_redeem(client)))
        if request.form.get("grant_type") == "refresh_token":
            value = request.form.get("refresh_token", "")
            return jsonify(_dump(oauth.refresh_tokens(current(), client, refresh_token=value)))
        raise oauth.GrantRefusedError("unsupported_grant_type", "Grant type is not supported.")
    except oauth.GrantRefusedError as refusal:
        return _flat_error(refusal)


@blueprint.post("/v2/oauth/revoke/")
@operation("tiktok.revoke", "End a consent.")
def revoke() -> ResponseReturnValue:
    try:
        client = _client()
        _, grant = oauth.find_token(current(), request.form.get("token", ""), kind="access")
        if grant is None or grant.client_id != client.client_id:
            raise oauth.GrantRefusedError("invalid_request", "Token is invalid.")
    except oauth.GrantRefusedError as refusal:
        return _flat_error(refusal)
    oauth.revoke(current(), grant, reason=1)
    return Response(status=200)


def _client() -> Client:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise oauth.GrantRefusedError(
            "invalid_request", "Only application/x-www-form-urlencoded is supported."
        )
    client = current().clients.get(f"tiktok/{request.form.get('client_key', '')}")
    secret = request.form.get("client_secret", "")
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise oauth.GrantRefusedError("invalid_client", "Client key or secret is incorrect.")
    return client


def _redeem(client: Client) -> oauth.Pair:
    verifier = request.form.get("code_verifier", "")
    expected = hashlib.sha256(verifier.encode()).hexdigest()
    return oauth.redeem_code(
        current(),
        client,
        code=request.form.get("code", ""),
        redirect_uri=request.form.get("redirect_uri", ""),
        proves=lambda challenge: hmac.compare_digest(challenge, expected),
    )


def _dump(pair: oauth.Pair) -> dict[str, Any]:
    now = current().now()
    account = current().accounts.get(f"tiktok/{pair.grant.account}")
    return {
        "access_token": pair.access.token,
        "expires_in": int(pair.access.expires_at - now),
        "open_id": account.remote_id if account else "",
        "refresh_token": pair.refresh.token,
        "refresh_expires_in": int(pair.refresh.expires_at - now),
        "scope": ",".join(pair.grant.scopes),
        "token_type": "Bearer",
    }


def _flat_error(refusal: oauth.GrantRefusedError) -> Response:
    g.error_code = refusal.code
    return jsonify(error=refusal.code, error_description=refusal.sentence, log_id=new_log_id())


def caller_of(*scopes: str, rate: str) -> Caller:
    """Return who calls, by a living token with one of the scopes and room under the rate limit."""
    sandbox = current()
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    _, grant = oauth.find_token(sandbox, value if scheme == "Bearer" else "", kind="access")
    account = sandbox.accounts.get(f"tiktok/{grant.account}") if grant else None
    if grant is None or account is None:
        raise RefusedError(
            401, "access_token_invalid", "The access token is invalid or not found in the request."
        )
    g.account = account.username
    if not set(scopes) & set(grant.scopes):
        raise RefusedError(401, "scope_not_authorized", f"The user did not authorize the scope {scopes[0]}.")
    bucket = grant.client_id if rate == "read" else value
    if sandbox.settings.rate_limits and not sandbox.rates.admits(
        f"tiktok/{rate}/{bucket}", limit=RATES[rate], now=sandbox.now()
    ):
        raise RefusedError(429, "rate_limit_exceeded", "The API rate limit was exceeded.")
    return Caller(value, grant, account)


def json_body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise RefusedError(
            400, "invalid_params", "The body must be a JSON object with Content-Type application/json."
        )
    return body
