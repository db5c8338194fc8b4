from __future__ import annotations

import json
from pathlib import Path

import pytest

import app.platforms
from app.exceptions import PlatformAPIError, PlatformValidationError
from app.platforms import registry
from app.platforms.base import GUARANTEES
from app.platforms.registry import Registry

FOLDER = Path(app.platforms.__path__[0])


def test_every_module_that_is_not_a_part_of_the_house_is_a_platform() -> None:
    parts = {"base", "http", "oauth", "registry"}
    modules = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert set(registry.names()) == modules - parts
    assert list(registry.names()) == sorted(registry.names())


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    platforms = Registry({}, public_url="http://127.0.0.1:8000")
    for ask in (registry.get_class, platforms.get):
        with pytest.raises(PlatformValidationError) as unknown:
            ask("myspace")
        assert unknown.value.details == {"found": "myspace", "allowed": list(registry.names())}


@pytest.mark.parametrize("name", registry.names())
def test_a_platform_describes_itself_in_json_without_secrets(name: str) -> None:
    values = {spec.name: "s3cret" if spec.secret else "" for spec in registry.get_class(name).settings}
    described = Registry({name: values}, public_url="http://127.0.0.1:8000").describe(name)
    assert "s3cret" not in json.dumps(described)
    assert described["configured"] is True
    assert described["guarantee_text"] == GUARANTEES[described["guarantee"]]
    assert all(spec["source"] and spec["checked_on"] for spec in described["limits"]["video"].values())


@pytest.mark.parametrize("name", registry.names())
def test_without_its_secrets_a_platform_is_not_configured(name: str) -> None:
    platforms = Registry({}, public_url="http://127.0.0.1:8000")
    assert platforms.describe(name)["configured"] is False
    assert platforms.get(name).config.sandbox is False


def test_the_callback_is_under_the_public_address() -> None:
    platform = Registry({}, public_url="https://video.example/").get(registry.names()[0])
    assert platform.config.callback_url == "https://video.example/api/v1/connections/callback"


@pytest.mark.parametrize("name", registry.names())
def test_every_address_called_is_a_setting_and_only_those_are_called(name: str) -> None:
    specs = registry.get_class(name).settings
    to_sandbox = {spec.name: "http://127.0.0.1:9/x" for spec in specs if spec.role == "server"}
    hosts = {spec.name: "127.0.0.1" for spec in specs if spec.role == "hosts"}
    platform = Registry({name: to_sandbox | hosts}, public_url="http://127.0.0.1:8000").get(name)
    assert platform.config.sandbox is True
    assert platform.http.allowed_hosts and set(platform.http.allowed_hosts) == {"127.0.0.1"}


@pytest.mark.parametrize("name", registry.names())
def test_production_does_not_speak_http_even_to_loopback(name: str) -> None:
    specs = registry.get_class(name).settings
    values = {spec.name: "http://127.0.0.1:9/x" for spec in specs if spec.role == "server"}
    public = "https://video.example"
    platform = Registry({name: values}, public_url=public, sandbox_allowed=False).get(name)
    with pytest.raises(PlatformAPIError):
        platform.http.check_url("http://127.0.0.1:9/x")


@pytest.mark.parametrize("name", registry.names())
def test_every_setting_is_explained(name: str) -> None:
    for spec in registry.get_class(name).settings:
        assert spec.name == spec.name.upper()
        assert spec.doc.endswith("."), spec.name
        assert not (spec.secret and spec.default), spec.name


@pytest.mark.parametrize("name", registry.names())
def test_every_platform_has_its_page(name: str) -> None:
    page = FOLDER.parent.parent / "docs" / "platforms" / f"{name}.md"
    text = page.read_text()
    missing = [
        spec.name for spec in registry.get_class(name).settings if f"{name}_{spec.name}".upper() not in text
    ]
    assert missing == []
