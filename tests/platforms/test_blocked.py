"""An account that a platform lets post nothing is told from a post it does not take."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from app.exceptions import PlatformAPIError
from app.services.blocks import is_block
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import make_request, some_bytes
from tests.sandbox_server import Sim


def graph(code: int, subcode: int = 0) -> dict[str, Any]:
    return {"error": {"message": "", "code": code, "error_subcode": subcode}}


def google(reason: str) -> dict[str, Any]:
    return {"error": {"code": 403, "errors": [{"reason": reason}]}}


def tiktok(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": ""}}


@pytest.mark.parametrize(
    ("operation", "body", "blocks"),
    [
        ("tiktok.init", tiktok("spam_risk_user_banned_from_posting"), True),
        ("tiktok.init", tiktok("app_version_check_failed"), False),
        ("youtube.session", google("channelSuspended"), True),
        ("youtube.session", google("channelClosed"), True),
        ("youtube.session", google("authenticatedUserAccountSuspended"), True),
        ("youtube.session", google("authenticatedUserAccountClosed"), True),
        ("youtube.session", google("forbidden"), False),
        ("instagram.container", graph(25, 2207050), True),
        ("instagram.container", graph(4, 2207051), True),
        ("instagram.container", graph(368), True),
        ("facebook.start", graph(368), True),
        ("facebook.start", graph(100, 1404112), True),
        ("facebook.start", graph(100, 4854002), True),
        ("facebook.start", graph(100, 1404078), True),
        ("facebook.start", graph(100, 1404006), False),
    ],
)
def test_a_refusal_of_the_whole_account_says_so(
    make_registry: RegistryMaker,
    sim: Sim,
    operation: str,
    body: Mapping[str, Any],
    blocks: bool,  # noqa: FBT001
) -> None:
    name = operation.partition(".")[0]
    case = importlib.import_module(f"tests.platforms.test_{name}").CASE
    request = make_request(case, sim.token(platform=name), some_bytes(20_000))
    sim.fault(operation, "status", status=403, body=body)
    with pytest.raises(PlatformAPIError) as refused:
        make_registry().get(name).stage(request, None, lambda _handle: None)
    assert (refused.value.kind, is_block(refused.value)) == ("account", blocks)
    assert ("resume the channel" in refused.value.message) == blocks
