"""How CIPLUG_PUSH_TOKEN reaches git: by the environment, under the name that the host asks for."""

from __future__ import annotations

import base64

import pytest

from ciplug.git.transport import transport_environment


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://github.com/acme/demo.git", "x-access-token"),
        ("https://gitea.acme.org/acme/demo.git", "x-access-token"),
        ("https://bitbucket.org/acme/demo.git", "x-token-auth"),
        ("https://ada@bitbucket.org/acme/demo.git", "x-token-auth"),
        ("https://evil.example/bitbucket.org/demo.git", "x-access-token"),
    ],
)
def test_login(url: str, user: str) -> None:
    env = transport_environment([], url, "s3cret")
    pairs = {env[f"GIT_CONFIG_KEY_{i}"]: env[f"GIT_CONFIG_VALUE_{i}"] for i in range(int(env["GIT_CONFIG_COUNT"]))}
    (header,) = (value for key, value in pairs.items() if key.endswith(".extraheader"))
    assert base64.b64decode(header.removeprefix("Authorization: Basic ")).decode() == f"{user}:s3cret"
    assert "s3cret" not in str(pairs)
