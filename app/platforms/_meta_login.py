"""Facebook Login as Meta's platforms use it: consent, a long-lived token, and the Pages it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import oauth
from app.platforms._meta import Graph, identifier, objects, part, text, whole
from app.platforms.base import Consent, PlatformConfig, Tokens

CREATE = "CREATE_CONTENT"  # the task a person needs on a Page to post there
_PAGE_FIELDS = (
    "id,name,username,access_token,tasks,picture.type(large),"
    "instagram_business_account{id,username,name,profile_picture_url}"
)
DATA_ACCESS = timedelta(days=90)  # core-platforms 3.2, unchecked; debug_token tells the day


@dataclass(frozen=True)
class Profile:
    """A professional Instagram account linked to a Page."""

    id: str
    username: str
    name: str
    avatar_url: str | None


@dataclass(frozen=True)
class Page:
    """A Page the person manages, with the token that acts for it; it does not end by time."""

    id: str
    name: str
    username: str
    access_token: str = field(repr=False)
    tasks: frozenset[str]
    avatar_url: str | None
    instagram: Profile | None

    @property
    def may_create(self) -> bool:
        """May the person post there? A Page that tells no tasks is let through: posting will tell."""
        return not self.tasks or CREATE in self.tasks


class FacebookLogin:
    """The way through facebook.com. `graph` must be the host graph.facebook.com with this app's secret."""

    def __init__(
        self, graph: Graph, config: PlatformConfig, *, client_id: str, client_secret: str, dialog_url: str
    ) -> None:
        self.graph = graph
        self._callback_url = config.callback_url
        self._client_id, self._client_secret = client_id, client_secret
        self._dialog_url = dialog_url

    def consent(self, *, state: str, scopes: str, verifier: str = "") -> Consent:
        """Return the dialog's address; `scopes` are separated by commas.

        There is no PKCE: the verifier is the caller's own, else a random word that nobody asks for.
        """
        query = {
            "client_id": self._client_id,
            "redirect_uri": self._callback_url,
            "state": state,
            "response_type": "code",
            "scope": scopes,
        }
        return Consent(oauth.consent_url(self._dialog_url, query), verifier or oauth.new_verifier())

    def exchange(self, params: Mapping[str, str]) -> Tokens:
        """Turn the callback's code into a long-lived token, with what was granted and when it lapses.

        `expires_at` is None: Pages' tokens, which post, do not end by time; `refresh_expires_at` is when access
        to data ends. There is nothing to refresh with.
        """
        code = oauth.callback_code(params, platform=self.graph.http.platform)
        short = self._token({"redirect_uri": self._callback_url, "code": code}, operation="token")
        form = {"grant_type": "fb_exchange_token", "fb_exchange_token": short}
        token = self._token(form, operation="long_token")
        granted = Tokens(token, None, None, None, self.granted(token))
        facts = self._debug(token)
        ends = _instant(facts.get("data_access_expires_at")) or clock.now() + DATA_ACCESS
        user_id = identifier(facts.get("user_id")) or None
        return replace(granted, refresh_expires_at=ends, user_id=user_id)

    def granted(self, token: str) -> frozenset[str]:
        """Return the permissions the person gave, which may be fewer than asked for."""
        answer = self.graph.call("GET", "/me/permissions", token, operation="permissions")
        given = (item for item in objects(answer.get("data")) if item.get("status") == "granted")
        return frozenset(text(item.get("permission")) for item in given) - {""}

    def pages(self, token: str) -> list[Page]:
        """Return the Pages the person manages and let us see."""
        params = {"fields": _PAGE_FIELDS, "limit": "100"}
        found = self.graph.listing("/me/accounts", token, operation="pages", params=params)
        return [page for item in found if (page := _page(item))]

    def revoke(self, token: str) -> None:
        """Take all permissions of this app back; Pages' tokens end with it."""
        self.graph.call("DELETE", "/me/permissions", token, operation="revoke")

    def _token(self, query: Mapping[str, str], *, operation: str) -> str:
        client = {"client_id": self._client_id, "client_secret": self._client_secret}
        params = {**client, **query}
        try:
            answer = self.graph.call("GET", "/oauth/access_token", "", operation=operation, params=params)
        except PlatformAPIError as error:
            raise self._consent_error(error) from None
        return oauth.text(answer, "access_token", operation, platform=self.graph.http.platform)

    def _consent_error(self, error: PlatformAPIError) -> PlatformAPIError:
        """A code that is refused is over; whoever wants to connect begins again."""
        platform, code = self.graph.http.platform, error.platform_code or ""
        if code.partition("/")[0] != "100":
            return error
        message = f"{self.graph.label} did not complete the consent. Try to connect again."
        return PlatformAuthError(message, error.details, platform=platform, platform_code=code)

    def _debug(self, token: str) -> dict[str, Any]:
        """Ask what Meta knows of a token; asked as the app itself, which needs no proof."""
        headers = {"Authorization": f"Bearer {self._client_id}|{self._client_secret}"}
        params = {"input_token": token}
        answer = self.graph.call(
            "GET", "/debug_token", "", operation="debug_token", params=params, headers=headers
        )
        return part(answer.get("data"))


def _page(item: Mapping[str, Any]) -> Page | None:
    page_id, token = identifier(item.get("id")), text(item.get("access_token"))
    if not page_id or not token:
        return None
    tasks = item.get("tasks")
    named = (
        frozenset(task for task in tasks if isinstance(task, str)) if isinstance(tasks, list) else frozenset()
    )
    avatar = text(part(part(item.get("picture")).get("data")).get("url")) or None
    name, username = text(item.get("name")), text(item.get("username"))
    profile = _profile(part(item.get("instagram_business_account")))
    return Page(page_id, name or username or page_id, username or page_id, token, named, avatar, profile)


def _profile(item: Mapping[str, Any]) -> Profile | None:
    profile_id, username = identifier(item.get("id")), text(item.get("username"))
    if not profile_id:
        return None
    avatar = text(item.get("profile_picture_url")) or None
    return Profile(profile_id, username or profile_id, text(item.get("name")) or username, avatar)


def _instant(value: object) -> datetime | None:
    seconds = whole(value)
    if seconds is None or not 0 < seconds < 1e11:
        return None
    return min(datetime.fromtimestamp(seconds, UTC), clock.now() + oauth.MAX_LIFETIME)
