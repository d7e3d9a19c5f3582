"""The name of a store's place, by which signatures name their repository."""

from __future__ import annotations

import pytest

from ciplug.steps.place_names import place_name

SAME = {
    "github.com/acme/wine": (
        "https://github.com/acme/wine.git#ciplug",
        "https://x-access-token@github.com/acme/wine#ciplug",
        "git@github.com:Acme/Wine.git#ciplug",
        "ssh://git@ssh.github.com:443/acme/wine.git#other",
    ),
    "dev.azure.com/acme/plant/wine": (
        "https://acme@dev.azure.com/acme/plant/_git/wine#ciplug",
        "git@ssh.dev.azure.com:v3/acme/plant/wine#ciplug",
    ),
    "git.example.com/ml/wine": (
        "https://git.example.com/scm/ml/wine.git#ciplug",
        "ssh://git@git.example.com:7999/ml/wine.git#ciplug",
    ),
    "/srv/git/wine.git": ("/srv/git/wine.git#ciplug", "file:///srv/git/wine.git#ciplug"),
    "s3://bucket/wine": ("s3://bucket/wine",),
}


@pytest.mark.parametrize(("name", "address"), [(name, one) for name, all_of in SAME.items() for one in all_of])
def test_every_address_of_a_place_has_one_name(name: str, address: str) -> None:
    assert place_name(address) == name


def test_a_name_that_is_too_long_is_a_digest() -> None:
    long = f"https://example.com/{'a' * 300}"
    assert place_name(long).startswith("sha256:") and place_name(long) != place_name(long + "b")
