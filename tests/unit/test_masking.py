"""What looks like a secret is masked, and what machine learning calls a token or a key is not."""

from __future__ import annotations

import time

import pytest

from ciplug.capture.masking import MASK, Masks, is_secret_name

RANDOM = "q7Xz9Lk2PwR4tY8u"


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "dbPassword", "DB_PASSWORD", "--password", "token", "--token", "api_key", "API-KEY",
        "access.token", "hf_token", "HF_TOKEN", "github_token", "client_secret", "aws.secret_access_key", "apikey",
        "wandb_api_key", "auth-token", "privateKey", "azure_credentials", "passphrase", "MYSQL_PWD",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    masks = Masks()
    assert masks.value(name, "short", "it") == MASK
    assert list(masks.masked) == ["it"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"{word}_token", "<pad>") for word in ("pad", "eos", "bos", "mask", "unk", "cls", "sep", "image")),
        ("max_tokens", 512), ("max_new_tokens", "512"), ("tokenizer", "bert-base-uncased"), ("token_dim", 64),
        ("num_tokens", RANDOM), ("key", "value"), ("sort_key", "date"), ("primary_key", "id"), ("secretary", "ann"),
        ("password", True), ("password", None), ("token", ""), ("token", "${TOKEN}"), ("password", "$DB_PASSWORD"),
        ("keyboard", "qwerty"), ("passes", 3), ("authors", "ann"), ("checkpoint", "runs/2026-11-23/model-000123.pt"),
        ("commit", "0123456789abcdef0123456789abcdef01234567"), ("dataset", "s3://bucket/path/to/data-0001.parquet"),
        ("model", "sk-learn"), ("name", "hf_model"), ("url", "https://user@example.com/x"),
    ],
)  # fmt: skip
def test_names_that_only_look_like_it(name: str, value: object) -> None:
    masks = Masks()
    assert masks.value(name, value, "it") == value
    assert not masks.masked


def test_a_token_by_its_value() -> None:
    assert is_secret_name("custom_token", RANDOM) and is_secret_name("service_key", RANDOM)
    assert not is_secret_name("custom_token", "first") and not is_secret_name("sort_key", "created_at")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ghp_" + "a1B2" * 9, MASK),
        ("github_pat_11ABCDEFG0abcdefghij_KLMNOPqrstuv", MASK),
        ("glpat-abcDEF123456ghiJKL78", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("xoxb-1234567890-abcdefghij", MASK),
        ("hf_" + "aB3d" * 9, MASK),
        ("sk-ant-" + "aB3d" * 9, MASK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", MASK),
        ("postgres://ann:hunter2@db/x", f"postgres://{MASK}@db/x"),
        ("Authorization: Bearer abcdefgh1234", f"Authorization: Bearer {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", MASK),
        ("https://a.blob.core.windows.net/c?sv=1&sig=abcdEFGH1234%2Bxyz%3D", f"https://a.blob.core.windows.net/c?sv=1&sig={MASK}"),
        ("a plain text about learning rates", "a plain text about learning rates"),
    ],
)  # fmt: skip
def test_forms(text: str, left: str) -> None:
    assert Masks().text(text, "it") == left


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (["train", "--token=XYZ"], ["train", f"--token={MASK}"]),
        (["train", "--token", "XYZ", "--lr", "0.1"], ["train", "--token", MASK, "--lr", "0.1"]),
        (["train", "--token", "--lr", "0.1"], ["train", "--token", "--lr", "0.1"]),
        (["env", "HF_TOKEN=abc", "python"], ["env", f"HF_TOKEN={MASK}", "python"]),
        (["KEY=1 API_KEY='abc' x --password a --n 3"], [f"KEY=1 API_KEY='{MASK}' x --password {MASK} --n 3"]),
        (["train.py", "db.password=hunter2", "lr=0.1"], ["train.py", f"db.password={MASK}", "lr=0.1"]),
        (["train", "--pad-token", "<pad>", "--max-tokens=5"], ["train", "--pad-token", "<pad>", "--max-tokens=5"]),
    ],
)  # fmt: skip
def test_commands(command: list[str], left: list[str]) -> None:
    assert list(Masks().command(command)) == left


def test_the_values_of_the_job_s_secrets_are_masked_wherever_they_stand() -> None:
    env = {"DEPLOY_TOKEN": "correct-horse-7", "SHORT_TOKEN": "abc", "WORD_SECRET": "production", "HOME": "/home/ann"}
    masks = Masks.of(env)
    assert masks.text("x correct-horse-7 y abc production /home/ann", "it") == f"x {MASK} y abc production /home/ann"


def test_the_working_directory_is_no_password() -> None:
    """A shell has it in PWD, and the one before it in OLDPWD: most commands name files below it."""
    masks = Masks.of({"PWD": "/home/ann/wine4", "OLDPWD": "/home/ann/beer4"})
    command = ("/home/ann/wine4/.venv/bin/python", "/home/ann/beer4/train.py")
    assert masks.command(command) == command and not masks.masked


def test_what_redact_names() -> None:
    masks = Masks.of({}, ["db_*", "Patient"])
    assert masks.mapping({"DB_HOST": "db1", "patient": "ann", "lr": 0.1}, "parameter") == {
        "DB_HOST": MASK, "patient": MASK, "lr": 0.1,
    }  # fmt: skip
    assert list(masks.masked) == ["parameter DB_HOST", "parameter patient"]
    assert masks.command(["--db-host", "x", "--db_host", "y"]) == ("--db-host", "x", "--db_host", MASK)


def test_long_texts_take_no_time() -> None:
    started = time.process_time()
    for text in (
        "a=" * 30_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "://" * 20_000,
        "a" * 90_000,
        "eyJ" * 30_000,
    ):
        masks = Masks()
        masks.text(text, "it")
        masks.command([text])
    assert time.process_time() - started < 5
