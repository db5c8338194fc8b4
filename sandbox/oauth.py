"""Consent, codes and tokens as every stand-in platform needs them; only the wire format is the platform's."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

if TYPE_CHECKING:
    from sandbox.accounts import Account, Client
    from sandbox.state import Sandbox


class GrantRefusedError(Exception):
    """A token request that is turned down: OAuth's error code and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


@dataclass
class Code:
    """An authorization code: single use, tied to client, redirect address and PKCE challenge."""

    code: str
    platform: str
    client_id: str
    account: str
    scopes: list[str]
    redirect_uri: str
    challenge: str
    expires_at: float

    @property
    def key(self) -> str:
        return self.code


@dataclass
class Grant:
    """One person's consent to one app. All its tokens end when it is revoked."""

    id: str
    platform: str
    client_id: str
    account: str
    scopes: list[str] = field(default_factory=list)
    removed_at: float | None = None
    removed_reason: int = 0

    @property
    def key(self) -> str:
        return self.id


@dataclass
class Token:
    """An access or a refresh token of a grant."""

    token: str
    kind: str  # access | refresh | page
    grant_id: str
    expires_at: float
    account: str = ""  # whose token it is, where a grant has several

    @property
    def key(self) -> str:
        return self.token


@dataclass(frozen=True)
class Pair:
    """What a token request answers."""

    access: Token
    refresh: Token
    grant: Grant


@dataclass(frozen=True, kw_only=True)
class Consent:
    """A platform's consent page: its parameters' names and the scopes it knows, with what they allow."""

    platform: str
    label: str
    client_parameter: str
    scope_separator: str
    scopes: dict[str, str]
    challenge_pattern: str = "[0-9A-Za-z_-]{43}"
    takes_pkce: bool = True

    def answer(self, sandbox: Sandbox) -> ResponseReturnValue:
        """Show the page, or settle it: by the form, by `auto=approve|deny`, or by the setting."""
        client = sandbox.clients.get(f"{self.platform}/{request.values.get(self.client_parameter, '')}")
        faults = request_faults(self, client, sandbox)
        accounts = [a for a in sandbox.accounts.values() if a.platform == self.platform]
        if faults:
            return render_template("consent_refused.html", consent=self, faults=faults), 400
        asked = self.asked_scopes()
        decision = self._decision(sandbox)
        if decision is None:
            return render_template("consent.html", consent=self, accounts=accounts, scopes=asked)
        if decision == "deny":
            return _return({"error": "access_denied", "error_description": "The user denied the request."})
        account = _chosen(sandbox, accounts)
        granted = (
            [s for s in asked if s in request.values.getlist("grant")] if self._chose_scopes() else asked
        )
        code = issue_code(sandbox, self, account=account.username, scopes=granted)
        return _return({"code": code.code, "scopes": self.scope_separator.join(granted)})

    def asked_scopes(self) -> list[str]:
        return [s for s in request.values.get("scope", "").split(self.scope_separator) if s]

    def _chose_scopes(self) -> bool:
        """Tell whether a subset was chosen: the form always does, `grant` in the query may."""
        return request.method == "POST" or "grant" in request.args

    def _decision(self, sandbox: Sandbox) -> str | None:
        if request.method == "POST":
            return "approve" if request.form.get("decision") == "approve" else "deny"
        auto = request.args.get("auto", sandbox.settings.auto_consent)
        return auto if auto in ("approve", "deny") else None


def request_faults(consent: Consent, client: Client | None, sandbox: Sandbox) -> list[str]:
    """Return what is wrong with an authorization request; any fault is shown and never redirected."""
    uri = request.values.get("redirect_uri", "")
    unknown = [scope for scope in consent.asked_scopes() if scope not in consent.scopes]
    checks = [
        (client is None, f"{consent.client_parameter} is unknown."),
        (request.values.get("response_type") != "code", "response_type must be code."),
        (not consent.asked_scopes(), "scope is missing."),
        (bool(unknown), f"scope: unknown: {', '.join(unknown)}."),
        (
            not _is_lawful(uri),
            "redirect_uri must be absolute, below 512 characters, without query or fragment.",
        ),
    ]
    faults = [sentence for wrong, sentence in checks if wrong]
    settings = sandbox.settings
    if client and not client.accepts(uri, any_loopback=settings.any_loopback_redirect):
        faults.append("redirect_uri is not registered for this app.")
    if challenge := request.values.get("code_challenge"):
        faults += _challenge_faults(consent, challenge)
    elif consent.takes_pkce and settings.pkce_required_on_loopback and uri.startswith("http://"):
        faults.append("code_challenge is missing: apps that return to this machine must use PKCE.")
    return faults


def _is_lawful(uri: str) -> bool:
    parts = urlsplit(uri)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    schemes = ("https", "http") if local else ("https",)
    return (
        bool(parts.hostname)
        and parts.scheme in schemes
        and "?" not in uri
        and "#" not in uri
        and len(uri) < 512
    )


def _challenge_faults(consent: Consent, challenge: str) -> list[str]:
    faults = []
    if request.values.get("code_challenge_method") != "S256":
        faults.append("code_challenge_method must be S256.")
    if not re.fullmatch(consent.challenge_pattern, challenge):
        faults.append("code_challenge has the wrong form.")
    return faults


def _chosen(sandbox: Sandbox, accounts: Sequence[Account]) -> Account:
    name = request.values.get("account") or sandbox.settings.auto_account
    return next((account for account in accounts if account.username == name), accounts[0])


def _return(answer: dict[str, str]) -> ResponseReturnValue:
    state = request.values.get("state")
    answer |= {} if state is None else {"state": state}
    return redirect(f"{request.values['redirect_uri']}?{urlencode(answer)}", 302)


def issue_code(sandbox: Sandbox, consent: Consent, *, account: str, scopes: list[str]) -> Code:
    """Store and return a code. It holds characters that must be percent-decoded, as real ones do."""
    code = Code(
        code=f"{secrets.token_urlsafe(24)}*0!{secrets.randbelow(10_000)}.s1",
        platform=consent.platform,
        client_id=request.values[consent.client_parameter],
        account=account,
        scopes=scopes,
        redirect_uri=request.values["redirect_uri"],
        challenge=request.values.get("code_challenge", ""),
        expires_at=sandbox.now() + sandbox.settings.code_seconds,
    )
    return sandbox.codes.put(code)


def redeem_code(
    sandbox: Sandbox, client: Client, *, code: str, redirect_uri: str, proves: Callable[[str], bool]
) -> Pair:
    """Spend a code and return tokens; `proves` judges the PKCE challenge. Raises GrantRefusedError.

    A code is spent by the attempt, also by one that fails.
    """
    found = sandbox.codes.pop(code)
    if found is None or f"{found.platform}/{found.client_id}" != client.key:
        raise GrantRefusedError("invalid_grant", "Authorization code is unknown or already used.")
    if found.expires_at <= sandbox.now():
        raise GrantRefusedError("invalid_grant", "Authorization code is expired.")
    if found.redirect_uri != redirect_uri:
        raise GrantRefusedError(
            "invalid_grant", "Redirect_uri is not matched with the uri when requesting code."
        )
    if found.challenge and not proves(found.challenge):
        raise GrantRefusedError("invalid_grant", "Code verifier or code challenge is invalid.")
    return grant_tokens(sandbox, client, account=found.account, scopes=found.scopes)


def grant_tokens(sandbox: Sandbox, client: Client, *, account: str, scopes: list[str]) -> Pair:
    """Record a consent and return its first tokens."""
    with sandbox.store.transaction():
        grant = Grant(secrets.token_hex(16), client.platform, client.client_id, account, scopes)
        sandbox.grants.put(grant)
        return Pair(_new_access(sandbox, grant), _new_refresh(sandbox, grant), grant)


def refresh_tokens(
    sandbox: Sandbox, client: Client, *, refresh_token: str, rotates: bool | None = None
) -> Pair:
    """Return new tokens; with rotation (None: as set) the given refresh token is dead. Raises GrantRefusedError."""
    with sandbox.store.transaction():
        token, grant = find_token(sandbox, refresh_token, kind="refresh")
        if token is None or grant is None or f"{grant.platform}/{grant.client_id}" != client.key:
            raise GrantRefusedError("invalid_grant", "Refresh token is invalid or expired.")
        if not (sandbox.settings.rotate_refresh_tokens if rotates is None else rotates):
            return Pair(_new_access(sandbox, grant), token, grant)
        sandbox.tokens.pop(token.token)
        return Pair(_new_access(sandbox, grant), _new_refresh(sandbox, grant), grant)


def find_token(sandbox: Sandbox, value: str, *, kind: str) -> tuple[Token | None, Grant | None]:
    """Return a living token and its grant, or nothing for an unknown, expired or revoked one."""
    token = sandbox.tokens.get(value)
    if token is None or token.kind != kind or token.expires_at <= sandbox.now():
        return None, None
    return token, sandbox.grants.get(token.grant_id)


def revoke(sandbox: Sandbox, grant: Grant, *, reason: int) -> None:
    """End a consent with all its tokens; `reason` is the platform's number, told to the app's webhook."""
    with sandbox.store.transaction():
        for token in sandbox.tokens.values():
            if token.grant_id == grant.id:
                sandbox.tokens.pop(token.token)
        grant.removed_at, grant.removed_reason = sandbox.now(), reason
        sandbox.grants.put(grant)


def _new_access(sandbox: Sandbox, grant: Grant) -> Token:
    lifetime = sandbox.settings.access_token_seconds
    return sandbox.tokens.put(_token("act.", "access", grant, sandbox.now() + lifetime))


def _new_refresh(sandbox: Sandbox, grant: Grant) -> Token:
    lifetime = sandbox.settings.refresh_token_seconds
    return sandbox.tokens.put(_token("rft.", "refresh", grant, sandbox.now() + lifetime))


def _token(prefix: str, kind: str, grant: Grant, expires_at: float) -> Token:
    return Token(prefix + secrets.token_urlsafe(32), kind, grant.id, expires_at)
