"""Requests nobody would send, at every operation, each answer held against the document.

Each turn of an operation begins with a new world, for some of them end it: a login, a channel. In half of the cases
what bears the name of something real is replaced by it, else all would end as 404; in half of those the body is a
good one but for one field, so that what lies behind the first check is reached too.
"""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.routes import openapi
from tests.fuzz.good import good_requests, known_values, with_real_values
from tests.fuzz.world import Installation

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/offset+octet-stream")
def _bytes_of_an_upload(_context: Any, value: Any) -> bytes:
    """What tus calls its pieces is bytes, as application/octet-stream is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


CASES = 20  # requests of a turn
SHOWN = 1000  # characters of a fault
HOW = hypothesis.settings(
    database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@dataclass
class Tally:
    """What an operation answered: how often which status, and the faults, one of each kind."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        return self.statuses.total()

    @property
    def succeeded(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 400)


class Campaign:
    """All operations of an installation, tried in turns. What was found is in `tallies`, by operationId."""

    def __init__(self, place: Installation, *, seed: int) -> None:
        self._place, self._seed, self._turn = place, seed, 0
        with place.app.app_context():
            self._document = openapi.document(place.app)
        schema = schemathesis.openapi.from_dict(strict(self._document))
        schema.app = place.app
        found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
        self.operations = {str(each.definition.raw["operationId"]): each for each in found}
        self.tallies = {name: Tally() for name in self.operations}

    @property
    def sent(self) -> int:
        return sum(tally.sent for tally in self.tallies.values())

    @property
    def faults(self) -> list[str]:
        return [fault for tally in self.tallies.values() for fault in tally.faults.values()]

    def succeed(self, name: str) -> None:
        """Send the operation's good request; what is not a success is a fault."""
        world = self._place.renew()
        request = good_requests(self._document, world)[name]
        body = (
            {"json": request.body} if request.content_type == "application/json" else {"data": request.body}
        )
        answer = self._place.app.test_client().open(
            request.path, method=request.method.upper(),
            headers={**(world.loner if name == "delete_account" else world.headers), **request.headers},
            **({"content_type": request.content_type} | body if request.content_type else {}),
        )  # fmt: skip
        self._judge(name, self.operations[name].Case(), answer, shown=str(request))
        if not 200 <= answer.status_code < 400:
            self._note(name, "no success", str(request), answer)

    def turn(self, name: str, *, cases: int = CASES) -> None:
        """Send so many made-up requests to an operation; fewer when it takes no more different ones."""
        self._turn += 1
        world, operation = self._place.renew(), self.operations[name]
        known, good = known_values(world, name), good_requests(self._document, world)[name].body
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        made_up = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

        @hypothesis.seed(self._seed * 1_000_003 + self._turn)
        @hypothesis.settings(HOW, max_examples=cases)
        @hypothesis.given(case=made_up, kind=st.sampled_from(("made up", "made up", "real", "almost good")))
        def send(case: Any, kind: str) -> None:
            if kind != "made up":
                put_real_values(case, known)
            if kind == "almost good":
                case.body = almost(good, case.body)
            try:
                answer = case.call(headers=dict(world.headers))
            except Exception as bug:  # schemathesis raises what made the app answer 500
                self._note(name, f"{type(bug).__name__} 500", case.as_curl_command(), bug)
            else:
                self._judge(name, case, answer, shown=case.as_curl_command())

        with suppress(hypothesis.errors.Unsatisfiable):  # an operation without rules has none to break
            send()

    def _judge(self, name: str, case: Any, answer: Any, *, shown: str) -> None:
        self.tallies[name].statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except (Failure, FailureGroup) as found:
            for fault in getattr(found, "exceptions", (found,)):
                self._note(name, f"{type(fault).__name__} {answer.status_code}", f"{fault}\n{shown}", answer)

    def _note(self, name: str, kind: str, shown: str, answer: Any) -> None:
        if isinstance(answer, Exception):
            self.tallies[name].statuses[500] += 1
            text = "".join(traceback.format_exception(answer, limit=-4))
        else:
            text = f"{answer.status_code} {str(answer.text)[:SHOWN]}"
        self.tallies[name].faults.setdefault(kind, f"{name}: {kind}\n{shown[:SHOWN]}\n-> {text}")


def strict(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document without the answers it gives for "everything else": each status must be named."""
    found = copy.deepcopy(dict(document))
    for item in found["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                operation.get("responses", {}).pop("default", None)
    return found


def almost(good: Any, made_up: Any) -> Any:
    """Return the good body with one field of the made-up one, where both have fields."""
    if isinstance(good, dict) and isinstance(made_up, dict):
        return good | dict(list(made_up.items())[-1:])
    return good if isinstance(good, bytes) and not isinstance(made_up, dict) else made_up


def put_real_values(case: Any, known: Mapping[str, Any]) -> None:
    """Replace in a made-up request what bears the name of something real."""
    for container in (case.path_parameters, case.query):
        for name in container if isinstance(container, dict) else ():
            container[name] = known.get(name, container[name])
    if isinstance(case.body, dict | list):
        case.body = with_real_values(case.body, known)


def report(tallies: Mapping[str, Tally]) -> Iterable[str]:
    """Yield a line for each operation: requests, successes, statuses."""
    for name, tally in tallies.items():
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(tally.statuses.items()))
        yield f"{name:28} {tally.sent:6} sent {tally.succeeded:6} succeeded   {statuses}"
