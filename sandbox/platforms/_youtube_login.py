"""Google's OAuth for YouTube: consent, tokens, who calls, and what the project's quota still allows."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from sandbox import oauth
from sandbox.accounts import Account, Client
from sandbox.faults import drain, operation
from sandbox.oauth import Consent, Grant
from sandbox.platforms._youtube_rules import PREFIX, SCOPES, RefusedError
from sandbox.state import current

blueprint = Blueprint("login", __name__)
PACIFIC = ZoneInfo("America/Los_Angeles")
DAY_AND_MORE = 2 * 86_400.0
CONSENT = Consent(
    platform="youtube",
    label="YouTube",
    client_parameter="client_id",
    scope_separator=" ",
    scopes=dict(
        zip(
            SCOPES,
            (
                "upload videos for you",
                "read your channel",
                "change your videos and write comments",
                "manage your channel",
            ),
            strict=True,
        )
    ),
)


@dataclass(frozen=True)
class Caller:
    grant: Grant
    account: Account

    def may(self, *scopes: str) -> bool:
        return bool({PREFIX + scope for scope in scopes} & set(self.grant.scopes))

    def needs(self, *scopes: str) -> Caller:
        """Return this caller. Raises RefusedError unless one of the scopes was granted."""
        if not self.may(*scopes):
            raise RefusedError(
                403, "insufficientPermissions", "Request had insufficient authentication scopes."
            )
        return self


@blueprint.route("/o/oauth2/v2/auth", methods=["GET", "POST"])
@operation("youtube.authorize", "The consent page.")
def authorize() -> ResponseReturnValue:
    if request.values.get("access_type") != "offline" or "consent" not in request.values.get("prompt", ""):
        faults = [
            "access_type=offline and prompt=consent are needed: without them there is no refresh token."
        ]
        return render_template("consent_refused.html", consent=CONSENT, faults=faults), 400
    return CONSENT.answer(current())


@blueprint.post("/token")
@operation("youtube.token", "Codes and refresh tokens to tokens.")
def token() -> ResponseReturnValue:
    try:
        client, kind = _client(), request.form.get("grant_type")
        if kind == "authorization_code":
            pair = _redeem(client)
            return jsonify(_dump(pair) | {"refresh_token": pair.refresh.token})
        if kind == "refresh_token":
            value = request.form.get("refresh_token", "")
            pair = oauth.refresh_tokens(current(), client, refresh_token=value, rotates=False)
            return jsonify(_dump(pair))
        raise oauth.GrantRefusedError("unsupported_grant_type", "Invalid grant_type.")
    except oauth.GrantRefusedError as refusal:
        return _flat_error(refusal)


@blueprint.post("/revoke")
@operation("youtube.revoke", "End a consent.")
def revoke() -> ResponseReturnValue:
    """Take an access or a refresh token; all of the grant ends."""
    value = request.form.get("token", "")
    found = [oauth.find_token(current(), value, kind=kind)[1] for kind in ("access", "refresh")]
    grant = next((grant for grant in found if grant is not None and grant.platform == "youtube"), None)
    if grant is None:
        return _flat_error(oauth.GrantRefusedError("invalid_token", "Token expired or revoked"))
    oauth.revoke(current(), grant, reason=1)
    return jsonify({})


def _client() -> Client:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise oauth.GrantRefusedError("invalid_request", "Content-Type must be a form.")
    client = current().clients.get(f"youtube/{request.form.get('client_id', '')}")
    secret = request.form.get("client_secret", "")
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise oauth.GrantRefusedError("invalid_client", "The OAuth client was not found.")
    return client


def _redeem(client: Client) -> oauth.Pair:
    verifier = request.form.get("code_verifier", "")
    digest = hashlib.sha256(verifier.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return oauth.redeem_code(
        current(),
        client,
        code=request.form.get("code", ""),
        redirect_uri=request.form.get("redirect_uri", ""),
        proves=lambda challenge: hmac.compare_digest(challenge, expected),
    )


def _dump(pair: oauth.Pair) -> dict[str, object]:
    return {
        "access_token": pair.access.token,
        "expires_in": int(pair.access.expires_at - current().now()),
        "scope": " ".join(pair.grant.scopes),
        "token_type": "Bearer",
    }


def _flat_error(refusal: oauth.GrantRefusedError) -> tuple[Response, int]:
    g.error_code = refusal.code
    status = 401 if refusal.code == "invalid_client" else 400
    return jsonify(error=refusal.code, error_description=refusal.sentence), status


def caller_of(*scopes: str, units: int = 0, bucket: str = "units") -> Caller:
    """Return who calls, by a living token with one of the scopes; take `units` of the project's day."""
    sandbox = current()
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    _, grant = oauth.find_token(sandbox, value if scheme == "Bearer" else "", kind="access")
    account = sandbox.accounts.get(f"youtube/{grant.account}") if grant else None
    if grant is None or account is None or grant.platform != "youtube":
        drain()
        raise RefusedError(401, "authError", "Invalid Credentials")
    g.account = account.username
    caller = Caller(grant, account)
    spend(grant.client_id, bucket, units)
    return caller.needs(*scopes) if scopes else caller


def spend(client_id: str, bucket: str, units: int) -> None:
    """Take units of a project's Pacific day. Raises RefusedError when they are not left."""
    sandbox = current()
    limits = {
        "inserts": sandbox.settings.daily_uploads,
        "units": sandbox.settings.daily_units,
        "stats": 10_000,
    }
    if not limits[bucket]:
        return
    day = datetime.fromtimestamp(sandbox.now(), PACIFIC).date().isoformat()
    for _ in range(units):
        name = f"youtube/{client_id}/{bucket}/{day}"
        if not sandbox.rates.admits(
            name, limit=limits[bucket], now=sandbox.now(), window_seconds=DAY_AND_MORE
        ):
            drain()
            raise RefusedError(
                403, "quotaExceeded", "The request cannot be completed: quota.", "youtube.quota"
            )
