"""Instagram Login: consent at instagram.com, tokens of an hour and of 60 days, and who calls its API."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox import oauth
from sandbox.accounts import Account, Client
from sandbox.faults import operation
from sandbox.oauth import Consent, Grant, Token
from sandbox.platforms._instagram_rules import FACEBOOK_SCOPES, INSTAGRAM_SCOPES
from sandbox.platforms._meta import LONG_LIFE, Caller, GraphError, Meta
from sandbox.state import Sandbox, current

SHORT_LIFE = 3_600.0
YOUNGEST = 86_400.0  # a token must be this old to be refreshed
KIND = "instagram"
META = Meta("instagram", "Instagram", FACEBOOK_SCOPES, linked=True)
CONSENT = Consent(
    platform="instagram",
    label="Instagram",
    client_parameter="client_id",
    scope_separator=",",
    scopes=INSTAGRAM_SCOPES,
    takes_pkce=False,
)
blueprint = Blueprint("instagram_login", __name__)


def grant_tokens(sandbox: Sandbox, client: Client, *, account: str, scopes: list[str]) -> oauth.Pair:
    """Record a consent of the flavour the scopes are of; the second token is what is kept for later."""
    if not set(scopes) & set(INSTAGRAM_SCOPES):
        return META.grant_tokens(sandbox, client, account=account, scopes=scopes)
    with sandbox.store.transaction():
        grant = Grant(secrets.token_hex(16), "instagram", client.client_id, account, scopes)
        sandbox.grants.put(grant)
        token = _new_token(sandbox, grant, LONG_LIFE)
    return oauth.Pair(token, token, grant)


def _new_token(sandbox: Sandbox, grant: Grant, lifetime: float) -> Token:
    value = "IGAA" + secrets.token_hex(40)
    return sandbox.tokens.put(Token(value, KIND, grant.id, sandbox.now() + lifetime, grant.account))


def caller_of(host: str, *scopes: str) -> tuple[Caller, Account | None]:
    """Return who calls on that host and for which account (None: a person with several). Raises GraphError.

    Neither host knows the other flavour's tokens. The scopes are the Facebook Login's names.
    """
    caller = META.caller()
    token = current().tokens.get(caller.token)
    is_own = token is not None and token.kind == KIND
    if is_own != (host == "graph.instagram"):
        raise GraphError(401, 190, "Cannot parse access token.")
    account = caller.account
    if is_own and token is not None:
        account = current().accounts.get(f"instagram/{token.account}")
        g.account = token.account
    caller.needs(*(OWN_NAMES[scope] if is_own else scope for scope in scopes if scope in OWN_NAMES), code=10)
    return caller, account


OWN_NAMES = {
    "instagram_basic": "instagram_business_basic",
    "instagram_content_publish": "instagram_business_content_publish",
    "instagram_manage_comments": "instagram_business_manage_comments",
    "instagram_manage_insights": "instagram_business_manage_insights",
}


@blueprint.route("/www/oauth/authorize", methods=["GET", "POST"])
@operation("instagram.own_authorize", "The consent page of Instagram Login.")
def authorize() -> ResponseReturnValue:
    return CONSENT.answer(current())


@blueprint.post("/api.instagram/oauth/access_token")
@operation("instagram.own_token", "Instagram Login: codes to tokens of an hour.")
def token() -> ResponseReturnValue:
    sandbox = current()
    try:
        client = _client(request.form.get("client_secret", ""), request.form.get("client_id", ""))
        if request.form.get("grant_type") != "authorization_code":
            raise oauth.GrantRefusedError("unsupported", "Invalid grant_type.")
        code, uri = request.form.get("code", ""), request.form.get("redirect_uri", "")
        grant = oauth.redeem_code(sandbox, client, code=code, redirect_uri=uri, proves=lambda _: False).grant
    except oauth.GrantRefusedError as refusal:
        g.error_code = refusal.code
        return jsonify(error_type="OAuthException", code=400, error_message=refusal.sentence), 400
    with sandbox.store.transaction():
        for stale in [token for token in sandbox.tokens.values() if token.grant_id == grant.id]:
            sandbox.tokens.pop(stale.token)  # made by the shared code, in another wire's form
    return jsonify(_short(client, _new_token(sandbox, grant, SHORT_LIFE), grant))


def _short(client: Client, token: Token, grant: Grant) -> dict[str, Any]:
    """Documented as the one object of a list, in practice often flat with a list of permissions."""
    facts = {"access_token": token.token, "user_id": int(META.person_id(client.client_id))}
    if current().settings.instagram_code_answer == "flat":
        return facts | {"permissions": grant.scopes}
    return {"data": [facts | {"permissions": ",".join(grant.scopes)}]}


def _client(secret: str, client_id: str) -> Client:
    client = current().clients.get(f"instagram/{client_id}")
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise oauth.GrantRefusedError("invalid_client", "Error validating client secret.")
    return client


@blueprint.get("/graph.instagram/access_token")
@operation("instagram.own_long_token", "Instagram Login: a token of an hour to one of 60 days.")
def long_token() -> ResponseReturnValue:
    _, grant = _to_trade("ig_exchange_token")
    client = current().clients.get(f"instagram/{grant.client_id}")
    secret = request.args.get("client_secret", "")
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise GraphError(400, 101, "Error validating client secret.")
    return _shown(_new_token(current(), grant, LONG_LIFE))


@blueprint.get("/graph.instagram/refresh_access_token")
@operation("instagram.own_refresh", "Instagram Login: 60 more days.")
def refresh() -> ResponseReturnValue:
    token, grant = _to_trade("ig_refresh_token")
    if current().now() - (token.expires_at - LONG_LIFE) < YOUNGEST:
        raise GraphError(400, 100, "The access token must be at least 24 hours old.")
    return _shown(_new_token(current(), grant, LONG_LIFE))


def _to_trade(grant_type: str) -> tuple[Token, Grant]:
    token, grant = oauth.find_token(current(), request.args.get("access_token", ""), kind=KIND)
    if request.args.get("grant_type") != grant_type:
        raise GraphError(400, 100, "Invalid grant_type.")
    if token is None or grant is None:
        raise GraphError(400, 190, "Error validating access token: it has expired.", subcode=463)
    return token, grant


def _shown(token: Token) -> Response:
    seconds = int(token.expires_at - current().now())
    return jsonify(access_token=token.token, token_type="bearer", expires_in=seconds)  # noqa: S106


@blueprint.get("/graph.instagram/<version>/me")
@operation("instagram.own_me", "Who the token's account is.")
def me(version: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
    _, account = caller_of("graph.instagram", "instagram_basic")
    if account is None:
        raise GraphError(400, 190, "Error validating access token.", subcode=467)
    facts = {
        "id": META.person_id(account.username),
        "user_id": account.remote_id,
        "username": account.username,
        "name": account.nickname or account.username,
        "account_type": "MEDIA_CREATOR",
        "profile_picture_url": f"{request.host_url}avatar.svg",
    }
    asked = [name for name in request.args.get("fields", "id").split(",") if name]
    if not set(asked) <= set(facts):
        raise GraphError(400, 100, "Tried accessing nonexisting field.")
    return jsonify({name: facts[name] for name in asked})


@blueprint.delete("/graph.instagram/<version>/me/permissions")
@operation("instagram.own_revoke", "End a consent with all its tokens.")
def revoke(version: str) -> ResponseReturnValue:  # noqa: ARG001
    caller, _ = caller_of("graph.instagram")
    oauth.revoke(current(), caller.grant, reason=1)
    return jsonify(success=True)
