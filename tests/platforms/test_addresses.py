from __future__ import annotations

import pytest

from app.exceptions import PlatformAPIError
from tests.platforms.wire import make_client

GOOD = ["https://upload.example.com/x?y=1", "https://upload.example.com:443/", "https://UPLOAD.Example.com/"]
BAD = [
    "http://upload.example.com/",
    "https://upload.example.com:8443/",
    "https://upload.example.com@evil.example/",
    "https://user:pw@upload.example.com/",
    "https://evil.example/?h=upload.example.com",
    "https://upload.example.com.evil.example/",
    "https://evil.example\\@upload.example.com/",
    "https://upload.example.com/ with blanks",
    "https://upload.example.com/\r\nX: y",
    "https://upload.example.com/#fragment",
    "https://upload.example.com:99999/",
    "https://[::1/",
    "https://üpload.example.com/",
    "ftp://upload.example.com/",
    "file:///etc/passwd",
    "//upload.example.com/",
    "http://127.0.0.1/",
    "",
    "https://upload.example.com/" + "a" * 3000,
]


@pytest.mark.parametrize("url", GOOD)
def test_addresses_of_allowed_hosts_pass(url: str) -> None:
    client = make_client([], allowed_hosts=["*.example.com"], allow_http=False)
    assert client.check_url(url) == url


@pytest.mark.parametrize("url", BAD)
@pytest.mark.parametrize("allow_http", [True, False])
def test_other_addresses_are_refused_and_not_shown(url: str, *, allow_http: bool) -> None:
    client = make_client([], allowed_hosts=["*.example.com"], allow_http=allow_http)
    with pytest.raises(PlatformAPIError) as refused:
        client.request("PUT", url, operation="send", deadline=1.0)
    assert refused.value.kind == "config"
    assert not url or url not in repr(refused.value.to_dict())


def test_http_is_for_the_sandbox_on_loopback_only() -> None:
    hosts = ["127.0.0.1", "localhost", "10.0.0.1"]
    sandbox, other = (
        make_client([], allowed_hosts=hosts),
        make_client([], allowed_hosts=hosts, allow_http=False),
    )
    assert sandbox.check_url("http://127.0.0.1:5000/x")
    for client, url in [(sandbox, "http://10.0.0.1/x"), (other, "http://127.0.0.1:5000/x")]:
        with pytest.raises(PlatformAPIError):
            client.check_url(url)
