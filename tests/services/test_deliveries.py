"""From the outbox to an endpoint, with a real receiver that verifies by the specification's own library."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import make_transient
from standardwebhooks import Webhook as Verifier

from app import clock, create_app
from app.extensions import db
from app.models import Delivery, Event, Mail, Webhook
from app.services import deliveries, dispatch, mails, webhooks
from app.services.outgoing import Answer
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.factories import Person, make_membership, make_person, make_user

judge = deliveries._judge


class Receiver:
    """What an endpoint was sent; it answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.calls: list[tuple[dict[str, str], bytes]] = []

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.calls]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.calls]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.calls.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


@pytest.fixture
def context(make_settings: SettingsMaker) -> Iterator[Flask]:
    app = create_app(make_settings(outgoing_networks=("127.0.0.0/8",)))
    with app.app_context():
        yield app
    dispose(app)


@pytest.fixture
def person(context: Flask) -> Person:
    assert context
    return make_person()


def happen(person: Person, *types: str) -> None:
    for type_ in types:
        Event.record(type_, workspace_id=person.workspace_id, subject_id=person.user_id, data={"targets": 1})
        db.session.flush()
    db.session.commit()


def work(rounds: int = 3) -> None:
    """Do as the dispatcher and a worker do, until nothing is due."""
    for _ in range(rounds):
        deliveries.notice()
        for model, run in ((Webhook, deliveries.fan_out), (Delivery, deliveries.deliver)):
            for _task, (id_, fence) in dispatch.claim(kind_of(model), clock.now()):
                run(uuid.UUID(id_), fence)


def kind_of(model: type) -> Any:
    return next(each for each in dispatch.WORK if each.model is model)


def judged_and_dead(*facts: Any) -> None:
    """Do as a process that is killed just before it commits what became of an endpoint."""
    judge(*facts)
    db.session.flush()
    raise SystemExit


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def rows() -> list[Delivery]:
    return list(
        db.session.scalars(select(Delivery).order_by(Delivery.id).execution_options(populate_existing=True))
    )


def hook(webhook_id: uuid.UUID) -> Webhook:
    return db.session.get_one(Webhook, webhook_id, populate_existing=True)


@pytest.mark.usefixtures("database_url")
def test_an_endpoint_is_told_what_it_asked_for_once_and_can_verify_it(
    person: Person, url: str, receiver: Receiver
) -> None:
    happen(person, "target.published")  # before there was an endpoint
    made = webhooks.create(person.principal, url=url, events=["target.*"])
    happen(person, "target.published", "post.updated", "target.failed")

    work()
    work()

    assert sorted(receiver.types) == ["target.failed", "target.published"]
    for headers, body in receiver.calls:
        told = Verifier(made.secret).verify(body, headers)
        assert told["data"]["subject_id"] == str(person.user_id)
    assert {(row.state, row.tries, row.status) for row in rows()} == {("delivered", 1, 200)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_event_that_is_committed_after_a_later_one_is_noticed_too(
    database_url: str, person: Person, url: str
) -> None:
    made = webhooks.create(person.principal, url=url, events=[])
    happen(person, "target.published")
    late = db.session.scalars(select(Event).order_by(Event.seq.desc()).limit(1)).one()
    happen(make_person(), "target.published")
    db.session.delete(late)
    db.session.commit()
    deliveries.notice()
    before = hook(made.record.id).next_at

    make_transient(late)
    db.session.add(late)
    db.session.commit()
    deliveries.notice()

    assert before is None
    assert hook(made.record.id).next_at is not None


def test_events_of_another_workspace_are_not_told(person: Person, url: str, receiver: Receiver) -> None:
    webhooks.create(person.principal, url=url, events=[])
    happen(make_person(), "target.published")

    work()

    assert receiver.calls == []


@pytest.mark.usefixtures("database_url")
def test_a_failing_endpoint_is_tried_for_28_hours_under_one_id_and_then_given_up(
    person: Person, url: str, receiver: Receiver
) -> None:
    webhooks.create(person.principal, url=url, events=[])
    receiver.status = 500
    happen(person, "target.published")
    begun, now, pauses = clock.now(), clock.now(), []

    while True:
        with time_machine.travel(now, tick=False):
            work(rounds=2)
        (row,) = rows()
        if row.state != "pending" or row.next_at is None:
            break
        pauses.append(row.next_at - now)
        now = row.next_at

    assert (row.state, row.tries, len(receiver.calls), len(set(receiver.ids))) == ("failed", 8, 8, 1)
    whole = sum(deliveries.PAUSES, timedelta())
    assert timedelta(hours=27.5) < whole < timedelta(hours=28)
    assert whole < now - begun < whole * (1 + deliveries.JITTER)
    assert all(least <= found <= least * 1.1 for least, found in zip(deliveries.PAUSES, pauses, strict=True))


@pytest.mark.parametrize("tries", range(1, len(deliveries.PAUSES) + 1))
def test_a_pause_is_as_long_as_it_should_be_and_up_to_a_tenth_longer(tries: int) -> None:
    whole = deliveries.PAUSES[tries - 1]

    found = [deliveries.pause_after(tries) for _ in range(200)]

    assert whole <= min(found) and max(found) <= whole * 1.1
    assert max(found) - min(found) > whole * 0.05  # of 200, all within half of the room: never


def test_two_deliveries_that_failed_together_are_tried_again_apart(
    person: Person, url: str, receiver: Receiver
) -> None:
    for _ in range(2):
        webhooks.create(person.principal, url=url, events=[])
    receiver.status = 500
    happen(person, "target.published")
    now = clock.now()

    with time_machine.travel(now, tick=False):
        work(rounds=2)

    first, second = (row.next_at for row in rows())
    assert first is not None and second is not None and first != second
    assert all(timedelta(seconds=5) <= at - now <= timedelta(seconds=5.5) for at in (first, second))


def test_a_dead_endpoint_costs_one_call_however_much_waits_for_it(
    person: Person, url: str, receiver: Receiver
) -> None:
    webhooks.create(person.principal, url=url, events=[])
    receiver.status = 503
    happen(person, *["target.failed"] * 20)
    work(rounds=1)
    called = len(receiver.calls)

    receiver.status = 200
    with time_machine.travel(clock.now() + timedelta(minutes=6)):
        work()

    assert called == 1
    assert len(receiver.calls) == 21
    assert {row.state for row in rows()} == {"delivered"}


@pytest.mark.parametrize(
    ("status", "reason"), [(410, "It answered 410 Gone."), (500, "It failed for five days.")]
)
def test_an_endpoint_that_is_gone_is_disabled_and_told(
    person: Person, url: str, receiver: Receiver, status: int, reason: str
) -> None:
    made = webhooks.create(person.principal, url=url, events=[])
    receiver.status = status
    happen(person, "target.published")
    work()
    if status == 500:
        with time_machine.travel(clock.now() + timedelta(days=5, hours=1)):
            happen(person, "target.failed")
            work()

    found = hook(made.record.id)
    assert (found.status, found.disabled_reason) == ("disabled", reason)
    assert {row.state for row in rows()} == {"failed"}
    (told,) = db.session.scalars(select(Event).where(Event.type == "webhook.disabled"))
    assert (told.subject_id, told.data) == (made.record.id, {"reason": reason, "host": "127.0.0.1"})


def test_the_other_endpoints_that_ask_for_it_are_told_that_one_was_disabled(
    person: Person, url: str, receiver: Receiver
) -> None:
    gone = webhooks.create(person.principal, url=url, events=["target.*"]).record.id
    receiver.status = 410
    happen(person, "target.published")
    others = [["webhook.disabled"], ["webhook.*"], [], ["target.*"]]
    for events in others:
        webhooks.create(person.principal, url=url, events=events)
    webhooks.create(make_person().principal, url=url, events=[])

    work(rounds=1)
    receiver.status = 200
    receiver.calls.clear()
    work()

    assert receiver.types == ["webhook.disabled"] * 3
    told = [json.loads(body)["data"] for _, body in receiver.calls]
    assert {each["subject_id"] for each in told} == {str(gone)}
    webhooks.update(person.principal, gone, {"status": "active", "events": []})
    work()
    assert receiver.types == ["webhook.disabled"] * 3  # not of itself


@pytest.mark.usefixtures("database_url")
def test_its_owners_are_mailed_once_in_the_transaction_that_disables_it(
    person: Person, url: str, receiver: Receiver
) -> None:
    second, editor, former = (make_user() for _ in range(3))
    make_membership(person.workspace_id, second.id, role="owner")
    make_membership(person.workspace_id, editor.id, role="editor")
    make_membership(person.workspace_id, former.id, role="owner")
    former.deleted_at = clock.now()
    db.session.commit()
    made = webhooks.create(person.principal, url=f"{url}?token=hush", events=["target.*"])
    receiver.status = 410
    happen(person, "target.published")

    work()
    deliveries._judge(made.record.id, Answer(410, None, 0.1), clock.now())  # of a call that ended later
    db.session.commit()

    sent = db.session.scalars(select(Mail)).all()
    assert {mail.recipient for mail in sent} == {person.email, second.email}
    assert (len(sent), {mail.kind for mail in sent}, count(Event)) == (2, {"webhook_disabled"}, 2)
    text = mails._message(sent[0]).get_content()
    assert "127.0.0.1" in text and str(made.record.id) in text
    assert "hush" not in text


def test_who_dies_before_the_end_has_told_nobody_and_disabled_nothing(
    person: Person, url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = webhooks.create(person.principal, url=url, events=[])
    receiver.status = 410
    happen(person, "target.published")

    with monkeypatch.context() as dying:
        dying.setattr(deliveries, "_judge", judged_and_dead)
        with pytest.raises(SystemExit):
            work(rounds=1)
    db.session.rollback()
    before = (hook(made.record.id).status, count(Mail), count(Event))
    with time_machine.travel(clock.now() + timedelta(minutes=10)):
        work(rounds=1)

    assert before == ("active", 0, 1)
    assert (hook(made.record.id).status, count(Mail), count(Event)) == ("disabled", 1, 2)


def test_a_disabled_endpoint_goes_on_where_it_stopped(person: Person, url: str, receiver: Receiver) -> None:
    made = webhooks.create(person.principal, url=url, events=["post.*"])
    webhooks.update(person.principal, made.record.id, {"status": "disabled"})
    happen(person, "post.created")
    work()
    quiet = len(receiver.calls)

    webhooks.update(person.principal, made.record.id, {"status": "active"})
    work()

    assert (quiet, receiver.types) == (0, ["post.created"])


def test_old_and_new_secret_both_verify_for_a_day(person: Person, url: str, receiver: Receiver) -> None:
    old = webhooks.create(person.principal, url=url, events=[]).secret
    (record,) = db.session.scalars(select(Webhook))
    new = webhooks.rotate_secret(person.principal, record.id).secret
    happen(person, "target.published")
    work()

    (headers, body) = receiver.calls[0]
    later = deliveries.signed(hook(record.id), "msg_x", "{}", at=clock.now() + timedelta(hours=25))

    assert Verifier(old).verify(body, headers) == Verifier(new).verify(body, headers)
    assert len(headers["webhook-signature"].split()) == 2
    assert len(later["webhook-signature"].split()) == 1


def test_a_redelivery_keeps_its_id(person: Person, url: str, receiver: Receiver) -> None:
    webhooks.create(person.principal, url=url, events=[])
    happen(person, "target.published")
    work()
    (row,) = rows()

    deliveries.redeliver(person.principal, row.id)
    work()

    assert len(receiver.calls) == 2
    assert len(set(receiver.ids)) == 1


def test_a_worker_that_lost_its_claim_tells_nothing(person: Person, url: str, receiver: Receiver) -> None:
    made = webhooks.create(person.principal, url=url, events=[])
    happen(person, "target.published")
    deliveries.fan_out(made.record.id, fence=99)
    ping = webhooks.ping(person.principal, made.record.id)

    deliveries.deliver(ping.id, fence=99)

    assert receiver.calls == []


def test_the_secret_is_stored_sealed(person: Person, url: str) -> None:
    made = webhooks.create(person.principal, url=url, events=[])

    assert made.secret.removeprefix("whsec_") not in str(vars(hook(made.record.id)))
