from __future__ import annotations

from io import StringIO

from dotenv import dotenv_values

from app import env_example
from app.config import load, setting_fields
from app.platforms.registry import setting_specs
from tests.servers import ROOT

EXAMPLE = ROOT / ".env.example"


def test_the_example_is_what_the_settings_say() -> None:
    """Mend it with: flask settings --example > .env.example"""
    assert EXAMPLE.read_text() == env_example.render(setting_specs())


def test_every_setting_is_explained() -> None:
    text = EXAMPLE.read_text()

    assert [item.name for item in setting_fields() if item.metadata["doc"] not in text] == []
    assert [item.name for item in setting_fields() if f"{item.name.upper()}=" not in text] == []


def test_the_defaults_shown_are_the_defaults() -> None:
    lines = EXAMPLE.read_text().replace("\n#", "\n")

    given = {name: value or "" for name, value in dotenv_values(stream=StringIO(lines)).items()}

    assert load(given, platforms=setting_specs()) == load({}, platforms=setting_specs())
