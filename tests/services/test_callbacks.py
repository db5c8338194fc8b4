from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock
from app.exceptions import AuthorizationError, ResourceNotFoundError
from app.extensions import db
from app.models import Channel, Connection, Credential, DeletionRequest, Event, Target
from app.platforms.base import Callback, Notice, Purpose, Received
from app.services import callbacks, credentials, deletion
from app.services.platforms import registry
from tests import factories
from tests.factories import make_channel, make_person, make_post, make_video

pytestmark = pytest.mark.usefixtures("database_url")
HOUR = timedelta(hours=1)
NAME = "tiktok"  # any platform that is there: what it receives is ours here


@dataclass
class Teller:
    """A platform that proves nothing and says what it is told to."""

    notices: list[Notice]
    answer: str = ""
    name: str = NAME
    callbacks: tuple[str, ...] = ("webhook", "deauthorize", "data_deletion")

    def receive(self, callback: Callback) -> Received:
        if callback.body == b"forged":
            raise AuthorizationError("not proven")
        return Received(self.notices, self.answer)


@dataclass
class Account:
    channel_id: uuid.UUID
    credential_id: uuid.UUID
    workspace_id: uuid.UUID
    remote_id: str

    def target(self, state: str, **columns: Any) -> uuid.UUID:
        """Make a target that is due in an hour."""
        post = make_post(make_video(self.workspace_id))
        video, channel = factories.make_video(self.workspace_id), db.session.get_one(Channel, self.channel_id)
        facts = {"next_at": clock.now() + HOUR, "asked": 1, "fence": 3, "due_at": clock.now()}
        return factories.make_target(post, video, channel, **(facts | {"state": state} | columns)).id


Tell = Callable[..., Any]


@pytest.fixture
def account(context: Flask) -> Account:
    channel = make_channel(make_person().workspace_id, display_name="Ada", profile_url="https://p/@ada")
    return Account(channel.id, channel.credential_id, channel.workspace_id, channel.remote_id)


@pytest.fixture
def tell(context: Flask, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Have the platform call us with these notices; returns what it is answered."""

    def call(*notices: Notice, answer: str = "", body: bytes = b"", purpose: Purpose = "webhook") -> Any:
        monkeypatch.setitem(registry()._platforms, NAME, Teller([*notices], answer))
        return callbacks.receive(NAME, Callback(purpose, "POST", {}, {}, body))

    return call


def row(model: Any, id_: uuid.UUID) -> Any:
    return db.session.get_one(model, id_, populate_existing=True)


def next_at(target_id: uuid.UUID) -> datetime:
    found: datetime = row(Target, target_id).next_at
    return found


# -- something changed


@pytest.mark.parametrize("state", ["confirming", "awaiting_user", "published"])
def test_a_hint_makes_the_accounts_targets_due_and_changes_nothing_else(
    account: Account, tell: Tell, state: str
) -> None:
    target_id = account.target(state)
    tell(Notice("changed", account.remote_id))
    found = row(Target, target_id)
    assert found.next_at <= clock.now()
    assert (found.state, found.fence, found.asked) == (state, 3, 1)


@pytest.mark.parametrize(
    ("state", "columns"),
    [
        ("confirming", {"asked": 0}),  # our own cut-off call may still arrive there
        ("publishing", {}),
        ("staged", {}),
        ("scheduled", {}),
        ("failed", {}),
        ("published", {"lease_until": datetime(2999, 1, 1, tzinfo=clock.now().tzinfo)}),
    ],
    ids=["in doubt", "publishing", "staged", "scheduled", "failed", "leased"],
)
def test_a_hint_leaves_alone_what_must_not_be_hurried(
    account: Account, tell: Tell, state: str, columns: dict[str, Any]
) -> None:
    target_id = account.target(state, **columns)
    tell(Notice("changed", account.remote_id))
    assert next_at(target_id) > clock.now()


def test_a_hint_wakes_no_target_that_is_watched_no_more(account: Account, tell: Tell) -> None:
    target_id = account.target("published", next_at=None)
    tell(Notice("changed", account.remote_id))
    assert row(Target, target_id).next_at is None


def test_a_hint_about_one_account_leaves_others_alone(account: Account, tell: Tell) -> None:
    target_id = account.target("confirming")
    tell(Notice("changed", "somebody else"))
    assert next_at(target_id) > clock.now()


def test_hints_are_bounded_and_what_is_in_doubt_comes_first(
    account: Account, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MOST_TARGETS", 2)
    late = [account.target("published") for _ in range(2)]
    urgent = [account.target("awaiting_user"), account.target("confirming")]
    tell(Notice("changed", account.remote_id))
    assert all(next_at(target_id) <= clock.now() for target_id in urgent)
    assert all(next_at(target_id) > clock.now() for target_id in late)


def test_one_call_about_many_accounts_hurries_each(account: Account, tell: Tell) -> None:
    other = make_channel(account.workspace_id)
    second = Account(other.id, other.credential_id, account.workspace_id, other.remote_id)
    targets = [account.target("confirming"), second.target("published")]
    tell(*(Notice("changed", name) for name in ("nobody", account.remote_id, second.remote_id)))
    assert all(next_at(target_id) <= clock.now() for target_id in targets)


# -- a consent ended


def test_an_ended_consent_asks_for_reconnecting_and_holds_what_waits(account: Account, tell: Tell) -> None:
    target_id = account.target("scheduled")
    tell(Notice("revoked", account.remote_id))
    assert row(Credential, account.credential_id).status == "needs_reconnect"
    assert row(Channel, account.channel_id).status == "needs_reconnect"
    assert row(Target, target_id).hold == "reconnect"


def test_a_consent_is_found_by_its_person_too(account: Account, tell: Tell) -> None:
    row(Credential, account.credential_id).remote_user_id = "person-1"
    db.session.commit()
    tell(Notice("revoked", "person-1"))
    assert row(Channel, account.channel_id).status == "needs_reconnect"


def test_a_late_notice_does_not_end_a_consent_given_since(account: Account, tell: Tell) -> None:
    tell(Notice("revoked", account.remote_id, at=clock.now() - HOUR))
    assert row(Credential, account.credential_id).status == "active"


def test_a_notice_told_twice_is_one_event(account: Account, tell: Tell) -> None:
    for _ in range(2):
        tell(Notice("revoked", account.remote_id, at=clock.now()))
    told = select(Event).where(Event.type == "channel.needs_reconnect")
    assert len(db.session.scalars(told).all()) == 1


# -- a person is forgotten


def test_nothing_of_a_forgotten_person_is_left(account: Account, tell: Tell) -> None:
    waiting = account.target("scheduled")
    posted = account.target(
        "published", remote_id="7", permalink="https://p/@ada/video/7", stats={"views": 1}
    )
    row(Credential, account.credential_id).remote_user_id = "person-1"
    row(Channel, account.channel_id).details = {"page": "Ada's"}
    db.session.commit()

    tell(Notice("delete", "person-1"), purpose="data_deletion")

    channel, credential = row(Channel, account.channel_id), row(Credential, account.credential_id)
    kept = (channel.username, channel.display_name, channel.avatar_url, channel.profile_url, channel.details)
    assert (channel.status, *kept) == ("disconnected", "", "", None, None, {})
    assert account.remote_id not in channel.remote_id
    assert (credential.status, credential.refresh_token_encrypted, credential.remote_user_id) == (
        "revoked", None, None,
    )  # fmt: skip
    assert credentials.reveal(credential.id, "access_token", credential.access_token_encrypted) == ""
    assert row(Target, waiting).hold == "reconnect"
    target = row(Target, posted)
    assert (target.state, target.remote_id, target.permalink, target.stats, target.next_at) == (
        "published", None, None, None, None,
    )  # fmt: skip


def test_an_old_wish_does_not_forget_what_was_connected_since(account: Account, tell: Tell) -> None:
    before = make_channel(account.workspace_id, username="grace")
    row(Credential, before.credential_id).refreshed_at = clock.now() - 2 * HOUR
    for credential_id in (before.credential_id, account.credential_id):
        row(Credential, credential_id).remote_user_id = "person-1"
    db.session.commit()

    for named in ("person-1", account.remote_id):
        tell(Notice("delete", named, at=clock.now() - HOUR), purpose="data_deletion")

    kept, gone = row(Channel, account.channel_id), row(Channel, before.id)
    assert (kept.status, kept.display_name, kept.remote_id) == ("active", "Ada", account.remote_id)
    assert row(Credential, account.credential_id).status == "active"
    assert (gone.status, gone.username) == ("disconnected", "")


@pytest.mark.parametrize("minutes", [0, 2])
def test_a_consent_begun_after_the_wish_keeps_its_choices(account: Account, tell: Tell, minutes: int) -> None:
    facts = {"state_hash": "s", "nonce_hash": "n", "platform": NAME, "workspace_id": account.workspace_id}
    choices, asked_at = [{"id": account.remote_id}], clock.now()
    facts |= {"created_at": asked_at + timedelta(minutes=minutes), "expires_at": asked_at + HOUR}
    consent = Connection(**facts, choices=choices, tokens_encrypted="sealed")
    db.session.add(consent)
    db.session.commit()

    tell(Notice("delete", account.remote_id, at=asked_at), purpose="data_deletion")

    assert row(Connection, consent.id).choices == (choices if minutes else [])


def test_a_target_in_flight_keeps_what_it_is_asked_about_with(account: Account, tell: Tell) -> None:
    target_id = account.target("confirming", handle_encrypted="sealed")
    tell(Notice("delete", account.remote_id), purpose="data_deletion")
    found = row(Target, target_id)
    assert (found.handle_encrypted, found.fence) == ("sealed", 3)
    assert found.next_at is not None


def test_consents_that_name_a_forgotten_account_lose_their_choices(account: Account, tell: Tell) -> None:
    facts = {"state_hash": "s", "nonce_hash": "n", "platform": NAME, "workspace_id": account.workspace_id}
    choices = [{"id": account.remote_id, "username": "ada"}]
    consent = Connection(**facts, choices=choices, tokens_encrypted="sealed", expires_at=clock.now())
    db.session.add(consent)
    db.session.commit()
    tell(Notice("delete", account.remote_id), purpose="data_deletion")
    found = row(Connection, consent.id)
    assert (found.choices, found.tokens_encrypted) == ([], None)


def test_another_persons_channel_is_not_touched(account: Account, tell: Tell) -> None:
    other = make_channel(account.workspace_id, username="grace")
    tell(Notice("delete", account.remote_id), purpose="data_deletion")
    assert (row(Channel, other.id).status, row(Channel, other.id).username) == ("active", "grace")
    assert row(Credential, other.credential_id).status == "active"


def test_the_answer_says_where_to_look_and_repeats_itself(account: Account, tell: Tell) -> None:
    first = tell(Notice("delete", account.remote_id), purpose="data_deletion")
    again = tell(Notice("delete", account.remote_id), purpose="data_deletion")
    (request,) = db.session.scalars(select(DeletionRequest)).all()
    assert first == again == {
        "url": f"http://127.0.0.1:8000/data-deletion/{request.code}",
        "confirmation_code": request.code,
    }  # fmt: skip
    assert deletion.find(request.code).done_at is not None
    assert account.remote_id not in request.remote_user_hash


def test_somebody_we_never_knew_is_answered_alike(context: Flask, tell: Tell) -> None:
    answer = tell(Notice("delete", "nobody"), purpose="data_deletion")
    assert deletion.find(answer["confirmation_code"]).done_at is not None


def test_an_app_that_serves_two_platforms_is_heard_for_both(
    account: Account, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_channel(account.workspace_id, platform="facebook")
    stranger = make_channel(account.workspace_id, platform="instagram")
    for channel in (other, stranger):
        row(Credential, channel.credential_id).remote_user_id = account.remote_id
    db.session.commit()
    monkeypatch.setitem(registry()._platforms, "facebook", Teller([], name="facebook"))
    tell(Notice("delete", account.remote_id), purpose="data_deletion")
    assert row(Credential, other.credential_id).status == "revoked"
    assert row(Credential, stranger.credential_id).status == "active"  # its app did not sign this


# -- what is not believed


def test_what_proves_nothing_does_nothing(account: Account, tell: Tell) -> None:
    with pytest.raises(AuthorizationError):
        tell(Notice("delete", account.remote_id), body=b"forged")
    assert row(Channel, account.channel_id).status == "active"


@pytest.mark.parametrize(("name", "purpose"), [("nosuch", "webhook"), (NAME, "deauthorize")])
def test_what_no_platform_takes_is_not_there(context: Flask, name: str, purpose: Purpose) -> None:
    with pytest.raises(ResourceNotFoundError):
        callbacks.receive(name, Callback(purpose, "POST", {}, {}, b""))


def test_a_platforms_own_answer_is_passed_on(context: Flask, tell: Tell) -> None:
    assert tell(answer="1158201444") == "1158201444"
