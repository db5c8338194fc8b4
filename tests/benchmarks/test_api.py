"""The API's benchmark runs and compares what it says it does. Nothing here is timed."""

from __future__ import annotations

import pytest

from benchmarks import api


def test_each_operation_is_measured_beside_the_bare_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SIZES", (300, 600))
    monkeypatch.setattr(api, "SAMPLES", 1)
    monkeypatch.setattr(api, "WARM_UP", 0)

    rows = {row.name: row for row in api.run(lambda _: None)}

    for kind in ("postgresql", "sqlite"):
        for name in ("list of 50 posts", "list of 50 targets", "get", "create"):
            row = rows[f"{kind}: {name}, 600 targets"]
            assert row.baseline and row.ratio == row.value / row.baseline
            assert (
                rows[f"{kind}: {name}, 600 over 300"].baseline == rows[f"{kind}: {name}, 300 targets"].value
            )
        assert rows[f"{kind}: targets scheduled, 300 targets"].baseline is None
