"""What Meta's stand-ins share: Facebook Login, who calls, Graph's errors and headers, the notices to apps.

Section 3.2, 5, 6 and 9 of the project's platform reference name every rule. Each platform mounts its own: one
person consents, manages a Page for each of the platform's accounts, and acts with the Pages' tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox import oauth
from sandbox.accounts import Account, Client
from sandbox.faults import Fault, operation
from sandbox.oauth import Consent, Grant
from sandbox.platforms._meta_usage import headers
from sandbox.state import Sandbox, current
from sandbox.uploads import Upload
from sandbox.webhooks import Notice

LONG_LIFE = 5_183_944.0  # seconds: what fb_exchange_token answers, about 60 days
SHORT_LIFE = 5_000.0
DATA_ACCESS = 90 * 86_400.0
_NEVER = 3_650 * 86_400.0
REASON_DELETED = 2  # of a grant that ended because the person wants their data deleted


class GraphError(Exception):
    """A refusal as Graph words it: `{"error": {...}}` with a code, perhaps a subcode."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        subcode: int = 0,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.subcode, self.data = status, code, subcode, data
        self.message, self.headers = message, dict(headers or {})

    def answer(self) -> ResponseReturnValue:
        g.error_code = f"{self.code}/{self.subcode}" if self.subcode else str(self.code)
        shown: dict[str, Any] = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
            "is_transient": False,
            "fbtrace_id": "A" + secrets.token_urlsafe(16),
        }
        shown |= {"error_subcode": self.subcode} if self.subcode else {}
        shown |= {"error_data": dict(self.data)} if self.data is not None else {}
        return jsonify(error=shown), self.status, self.headers


@dataclass(frozen=True)
class Caller:
    """Who calls: the token, the consent it is of, and the account (a Page's) it acts for, if it is a Page's."""

    token: str
    grant: Grant
    account: Account | None

    def needs(self, *scopes: str, code: int = 200) -> Caller:
        """Return this caller. Raises GraphError unless all of the scopes were granted."""
        if missing := [scope for scope in scopes if scope not in self.grant.scopes]:
            raise GraphError(403, code, f"Requires the permission {', '.join(missing)}.")
        return self

    def page(self) -> Account:
        """Return the account this Page token acts for. Raises GraphError for a person's token."""
        if self.account is None:
            raise GraphError(403, 200, "A Page access token is required.")
        return self.account


def number(*parts: str) -> str:
    """Return an id as Meta makes them: digits only, always the same for the same parts."""
    return str(10**15 + int(hashlib.sha256("/".join(parts).encode()).hexdigest()[:12], 16))


class Meta:
    """One platform's share of Meta. `blueprint` must be registered below the platform's own.

    `linked`: the platform's accounts are Instagram's, each linked to a Page; else they are the Pages.
    """

    def __init__(self, platform: str, label: str, scopes: dict[str, str], *, linked: bool = False) -> None:
        self.platform, self.linked = platform, linked
        self.consent = Consent(
            platform=platform,
            label=label,
            client_parameter="client_id",
            scope_separator=",",
            scopes=scopes,
            takes_pkce=False,
        )
        self.blueprint = Blueprint("login", __name__)
        _add_login(self.blueprint, self)
        _add_person(self.blueprint, self)

    # -- ids

    def person_id(self, client_id: str) -> str:
        """Return the id of the one person who logs in here, as that app sees them."""
        return number(self.platform, "person", client_id)

    def page_id(self, account: Account) -> str:
        return number(account.key, "page") if self.linked else account.remote_id

    # -- tokens

    def grant_tokens(
        self, sandbox: Sandbox, client: Client, *, account: str, scopes: list[str]
    ) -> oauth.Pair:
        """Record a consent; answer the account's Page token and, as the second, the person's long one."""
        with sandbox.store.transaction():
            grant = Grant(secrets.token_hex(16), self.platform, client.client_id, account, scopes)
            sandbox.grants.put(grant)
            user = self.user_token(sandbox, grant, lifetime=LONG_LIFE)
            return oauth.Pair(self.page_token(sandbox, grant, account), user, grant)

    def user_token(self, sandbox: Sandbox, grant: Grant, *, lifetime: float) -> oauth.Token:
        """Return a new token of the person."""
        value = "EAAU" + secrets.token_hex(40)
        return sandbox.tokens.put(oauth.Token(value, "access", grant.id, sandbox.now() + lifetime))

    def page_token(self, sandbox: Sandbox, grant: Grant, username: str) -> oauth.Token:
        """Return the token of one Page under a consent: one, however often it is asked for."""
        with sandbox.store.transaction():
            wanted = ("page", grant.id, username)
            for token in sandbox.tokens.values():
                if (token.kind, token.grant_id, token.account) == wanted:
                    return token
            value, ends = "EAAP" + secrets.token_hex(40), sandbox.now() + _NEVER
            return sandbox.tokens.put(oauth.Token(value, "page", grant.id, ends, username))

    def caller(self, *, scheme: str = "Bearer") -> Caller:
        """Return who calls, by a living token of a person or a Page, in the header or the query."""
        sandbox, (given, _, value) = current(), request.headers.get("Authorization", "").partition(" ")
        value = value if given == scheme else request.values.get("access_token", "") if not given else ""
        token = sandbox.tokens.get(value)
        grant = sandbox.grants.get(token.grant_id) if token else None
        if token is None or grant is None or grant.platform != self.platform:
            raise GraphError(401, 190, "Invalid OAuth access token.", subcode=467)
        if token.expires_at <= sandbox.now():
            raise GraphError(401, 190, "Session has expired.", subcode=463)
        self._check_proof(sandbox, grant, value)
        account = sandbox.accounts.get(f"{self.platform}/{token.account}") if token.kind == "page" else None
        g.account = token.account or None
        return Caller(value, grant, account)

    def _check_proof(self, sandbox: Sandbox, grant: Grant, token: str) -> None:
        client, given = (
            sandbox.clients.get(f"{self.platform}/{grant.client_id}"),
            request.args.get("appsecret_proof"),
        )
        secret = client.secret if client else ""
        expected = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if given is not None and not hmac.compare_digest(given.encode(), expected.encode()):
            raise GraphError(400, 100, "Invalid appsecret_proof provided in the API argument.")

    # -- what is sent to apps

    def notices(self, sandbox: Sandbox) -> list[Notice]:
        """Return a deauthorize call for each consent taken back, and a data deletion where that was asked."""
        found = []
        for grant in sandbox.grants.values():
            if grant.platform != self.platform or grant.removed_at is None:
                continue
            client = sandbox.clients.get(f"{self.platform}/{grant.client_id}")
            purposes = ["deauthorize"] + ["data-deletion"] * (grant.removed_reason == REASON_DELETED)
            found += [self._notice(grant, client, purpose) for purpose in purposes]
        return found

    def _notice(self, grant: Grant, client: Client | None, purpose: str) -> Notice:
        user_id, secret = self.person_id(grant.client_id), client.secret if client else ""
        at = min(grant.removed_at or 0, time.time())  # apps hold it against a clock nobody moves
        signed = signed_request({"user_id": user_id, "issued_at": int(at)}, secret)
        body = urlencode({"signed_request": signed})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        key = f"{self.platform}/{grant.id}/{purpose}"
        return Notice(key, body, lambda _body: headers, platform=self.platform, purpose=purpose)


def signed_request(payload: Mapping[str, Any], secret: str) -> str:
    """Return Meta's signed_request of a payload, under an app's secret."""
    body = _base64url(json.dumps({"algorithm": "HMAC-SHA256", **payload}).encode())
    digest = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return f"{_base64url(digest)}.{body}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def speak_graph(blueprint: Blueprint) -> None:
    """Make a platform's blueprint answer refusals and usage headers as Graph does."""

    @blueprint.errorhandler(GraphError)
    def refused(refusal: GraphError) -> ResponseReturnValue:
        return refusal.answer()

    @blueprint.after_request
    def usage(response: Response) -> Response:
        account_id = number(g.account) if g.get("account") else None
        for name, value in headers(current().settings, account_id).items():
            response.headers.setdefault(name, value)
        response.headers["x-fb-trace-id"] = secrets.token_urlsafe(9)
        return response


def marker_fault(upload: Upload, name: str) -> Fault | None:
    """Return what a marker in the text does to the committing call of that name, once for each marker."""
    for marker in ("drop-before", "drop-after", "slow"):
        with current().store.transaction():
            if marker not in upload.markers or marker in upload.spent:
                continue
            upload.spent.append(marker)
            current().uploads.put(upload)
        if marker == "slow":
            return Fault(name, "delay", when="after", seconds=_seconds(upload.markers[marker]))
        return Fault(name, marker.replace("-", "_"))
    return None


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 300.0)
    except ValueError:
        return 5.0


def paged(items: list[dict[str, Any]], *, default: int = 25) -> dict[str, Any]:
    """Return one page of a list by the query's `limit` and `after`, with cursors as Graph gives them."""
    limit = max(1, min(request.args.get("limit", default, int), 100))
    start = _offset(request.args.get("after", ""))
    shown, end = items[start : start + limit], start + limit
    paging: dict[str, Any] = {"cursors": {"before": _cursor(start), "after": _cursor(end)}}
    if end < len(items):
        paging["next"] = request.base_url + f"?after={_cursor(end)}&limit={limit}"
    return {"data": shown} | ({"paging": paging} if shown else {})


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _offset(cursor: str) -> int:
    try:
        return max(0, int(base64.urlsafe_b64decode(cursor or "MA==")))
    except ValueError:
        raise GraphError(400, 100, "Invalid cursor.") from None


# -- Facebook Login


def _add_login(blueprint: Blueprint, meta: Meta) -> None:
    """Mount the dialog and the tokens' endpoints; the version in a path is any `vN.N`."""
    platform = meta.platform

    @blueprint.route("/www/<version>/dialog/oauth", methods=["GET", "POST"])
    @operation(f"{platform}.authorize", "The consent dialog.")
    def authorize(version: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
        return meta.consent.answer(current())

    @blueprint.get("/graph.facebook/<version>/oauth/access_token")
    @operation(f"{platform}.token", "Codes and short tokens to tokens.")
    def token(version: str) -> ResponseReturnValue:  # noqa: ARG001
        return jsonify(_token(meta, _client(meta)))

    @blueprint.get("/graph.facebook/<version>/debug_token")
    @operation(f"{platform}.debug_token", "What Meta knows of a token.")
    def debug_token(version: str) -> ResponseReturnValue:  # noqa: ARG001
        return jsonify(data=_debug(meta))


def _add_person(blueprint: Blueprint, meta: Meta) -> None:
    """Mount what belongs to a person's token."""
    platform = meta.platform

    @blueprint.get("/graph.facebook/<version>/me")
    @operation(f"{platform}.me", "Who the token's person is.")
    def me(version: str) -> ResponseReturnValue:  # noqa: ARG001
        return jsonify(id=meta.person_id(meta.caller().grant.client_id), name="Sandbox Person")

    @blueprint.get("/graph.facebook/<version>/me/accounts")
    @operation(f"{platform}.pages", "The Pages the person manages.")
    def pages(version: str) -> ResponseReturnValue:  # noqa: ARG001
        return jsonify(_pages(meta))

    @blueprint.get("/graph.facebook/<version>/me/permissions")
    @operation(f"{platform}.permissions", "What the person granted and declined.")
    def permissions(version: str) -> ResponseReturnValue:  # noqa: ARG001
        given = meta.caller().grant.scopes
        status = {scope: "granted" if scope in given else "declined" for scope in meta.consent.scopes}
        return jsonify(data=[{"permission": name, "status": state} for name, state in status.items()])

    @blueprint.delete("/graph.facebook/<version>/me/permissions")
    @operation(f"{platform}.revoke", "End a consent with all its tokens.")
    def revoke(version: str) -> ResponseReturnValue:  # noqa: ARG001
        oauth.revoke(current(), meta.caller().grant, reason=1)
        return jsonify(success=True)


def _client(meta: Meta) -> Client:
    client = current().clients.get(f"{meta.platform}/{request.args.get('client_id', '')}")
    if client is None:
        raise GraphError(400, 101, "Error validating application. Cannot get application info.")
    secret = request.args.get("client_secret", "")
    if not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise GraphError(400, 101, "Error validating client secret.")
    return client


def _token(meta: Meta, client: Client) -> dict[str, Any]:
    sandbox = current()
    if request.args.get("grant_type") == "fb_exchange_token":
        value = request.args.get("fb_exchange_token", "")
        _, grant = oauth.find_token(sandbox, value, kind="access")
        if grant is None or f"{grant.platform}/{grant.client_id}" != client.key:
            raise GraphError(400, 190, "The access token to exchange is invalid or expired.", subcode=463)
        return _shown(meta.user_token(sandbox, grant, lifetime=LONG_LIFE), LONG_LIFE)
    code, uri = request.args.get("code", ""), request.args.get("redirect_uri", "")
    try:
        grant = oauth.redeem_code(sandbox, client, code=code, redirect_uri=uri, proves=lambda _: False).grant
    except oauth.GrantRefusedError as refusal:
        raise GraphError(400, 100, refusal.sentence, subcode=36009) from None
    with sandbox.store.transaction():
        for stale in [token for token in sandbox.tokens.values() if token.grant_id == grant.id]:
            sandbox.tokens.pop(stale.token)  # made by the shared code, in another wire's form
    return _shown(meta.user_token(sandbox, grant, lifetime=SHORT_LIFE), SHORT_LIFE)


def _shown(token: oauth.Token, lifetime: float) -> dict[str, Any]:
    return {"access_token": token.token, "token_type": "bearer", "expires_in": int(lifetime)}


def _debug(meta: Meta) -> dict[str, Any]:
    sandbox = current()
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    app = (bearer or request.args.get("access_token", "")).partition("|")
    client = sandbox.clients.get(f"{meta.platform}/{app[0]}")
    if client is None or not hmac.compare_digest(client.secret.encode(), app[2].encode()):
        raise GraphError(400, 190, "Invalid OAuth access token signature.")
    token = sandbox.tokens.get(request.args.get("input_token", ""))
    grant = sandbox.grants.get(token.grant_id) if token else None
    if token is None or grant is None or f"{grant.platform}/{grant.client_id}" != client.key:
        return {"is_valid": False, "scopes": []}
    return {
        "app_id": client.client_id,
        "type": "PAGE" if token.kind == "page" else "USER",
        "is_valid": token.expires_at > sandbox.now(),
        "expires_at": 0 if token.kind == "page" else int(token.expires_at),
        "data_access_expires_at": int(sandbox.now() + DATA_ACCESS),
        "scopes": grant.scopes,
        "user_id": meta.person_id(client.client_id),
    }


def _pages(meta: Meta) -> dict[str, Any]:
    sandbox, caller = current(), meta.caller().needs("pages_show_list")
    every = [account for account in sandbox.accounts.values() if account.platform == meta.platform]
    found = [caller.account] if caller.account else every  # a Page's token sees that Page
    return paged([_page(meta, caller.grant, account) for account in found])


def _page(meta: Meta, grant: Grant, account: Account) -> dict[str, Any]:
    """Return a Page. An account that `cannot_post` for `role` gives the person another role there."""
    avatar, name = f"{request.host_url}avatar.svg", account.nickname or account.username
    tasks = ["ANALYZE"] if account.cannot_post == "role" else ["ANALYZE", "CREATE_CONTENT", "MANAGE"]
    page: dict[str, Any] = {
        "id": meta.page_id(account),
        "name": f"{name} Page" if meta.linked else name,
        "username": f"{account.username}.page" if meta.linked else account.username,
        "access_token": meta.page_token(current(), grant, account.username).token,
        "tasks": tasks,
        "picture": {"data": {"url": avatar}},
    }
    if meta.linked:
        linked = {"id": account.remote_id, "username": account.username, "name": name}
        page["instagram_business_account"] = linked | {"profile_picture_url": avatar}
    return page
