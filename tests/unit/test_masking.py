"""What looks like a secret is masked, and what machine learning calls a token or a key is not."""

from __future__ import annotations

import re
import time

import pytest

from ciplug.capture.masking import MASK, Masks
from ciplug.capture.secret_names import is_secret_name

RANDOM = "q7Xz9Lk2PwR4tY8u"


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "dbPassword", "DB_PASSWORD", "--password", "token", "--token", "api_key", "API-KEY",
        "access.token", "hf_token", "HF_TOKEN", "github_token", "client_secret", "aws.secret_access_key", "apikey",
        "wandb_api_key", "auth-token", "privateKey", "azure_credentials", "passphrase", "MYSQL_PWD", "PGPASSWORD",
        "PGPassword", "MYTOK_TOKEN", "SYSTEM_ACCESSTOKEN", "HFTOKEN", "accesskey", "opt.auth.bearer", "Set-Cookie",
        "session_cookie", "cookie", "X-Amz-Signature", "x-goog-signature", "X-Amz-Security-Token", "DB_PASS",
        "smtp_pass", "SSHPASS", "DB_PASSWORD_PROD", "api_key_2", "SECRET_KEY_BASE", "db/password", "secrets/0",
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
        ("keyboard", "qwerty"), ("passes", 3), ("n_passes", "3"), ("pass_rate", 0.9), ("compass", RANDOM),
        ("COMPASS", "north"), ("forward_pass", "fast"), ("MAX_PASS", "3"), ("token_count", 5), ("MAX_TOKEN", "512"),
        ("PAD_TOKEN", "<pad>"), ("subtoken", "ab12cd34"), ("token_0", "hello"), ("loss_per_token", "0.5"),
        ("n_secrets", 3), ("password_length", 12), ("token_type", RANDOM), ("auth", "basic"), ("author", RANDOM),
        ("signature", RANDOM), ("monkey", RANDOM), ("tokenization", RANDOM), ("bypass", RANDOM), ("bearing", RANDOM),
        ("args/1", "x"),
        ("style_token", "sks-dog-01"), ("PWD", "/home/ann"), ("cookie_consent", "yes"), ("GIT_ASKPASS", "/bin/echo"),
 ("authors", "ann"), ("checkpoint", "runs/2026-11-23/model-000123.pt"),
        ("commit", "0123456789abcdef0123456789abcdef01234567"), ("dataset", "s3://bucket/path/to/data-0001.parquet"),
        ("model", "sk-learn"), ("name", "hf_model"), ("url", "https://user@example.com/x"),
        ("use_auth_token", "True"), ("hub_token", "None"), ("password", "false"), ("token", 50256), ("id_token", "5"),
        ("passwords", 14344391), ("secrets", 0), ("max_tokens", 100), ("pass", 1), ("secret_size", 12),
        ("model", "sk-learn-gradient-boosting-classifier-v2"), ("task", "Basic classification"),
    ],
)  # fmt: skip
def test_names_that_only_look_like_it(name: str, value: object) -> None:
    masks = Masks()
    assert masks.value(name, value, "it") == value
    assert not masks.masked


def test_a_token_by_its_value() -> None:
    assert is_secret_name("custom_token", RANDOM) and is_secret_name("mytok_token", "Q4h7Kd92mXw-P")
    assert is_secret_name("pad_token", RANDOM) and is_secret_name("service_key", RANDOM)
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
        ("password = hunter2", f"password = {MASK}"),
        ("'password' => 'hunter2'", f"'password' => '{MASK}'"),
        ("cfg['password'] = 'hunter2'", f"cfg['password'] = '{MASK}'"),
        ("{b'password': b'hunter2'}", f"{{b'password': b'{MASK}'}}"),
        (r'{"a": "{\"password\": \"hunter2"}', rf'{{"a": "{{\"password\": \"{MASK}"}}'),
        ("<password>hunter2</password>", f"<password>{MASK}</password>"),
        ("machine h login ann password hunter2", f"machine h login ann password {MASK}"),
        ("tool -password hunter2", f"tool -password {MASK}"),
        ("<password>two words</password> <secret>", f"<password>{MASK}</password> <secret>"),
        ("<x><password>cut-off", f"<x><password>{MASK}"),
        ("token = Q4h7Kd92mXw", f"token = {MASK}"),
        ("Authorization: Basic YW5uOmh1bnRlcg==", f"Authorization: Basic {MASK}"),
        ("sk-0123456789abcdef0123456789abcdef", MASK),
        ("sk-lf-0f8fad5b-d9cb-469f-a165-70867728950e", MASK),
        ("https://h/#access_token=hunter2", f"https://h/#access_token={MASK}"),
        ("Authorization: Bearer abcdefgh1234", f"Authorization: Bearer {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", MASK),
        ("https://a.blob.core.windows.net/c?sv=1&sig=abcdEFGH1234%2Bxyz%3D", f"https://a.blob.core.windows.net/c?sv=1&sig={MASK}"),
        ("https://h/x?X-Amz-Signature=Q4h7Kd92mXw-3&y=1", f"https://h/x?X-Amz-Signature={MASK}&y=1"),
        ("https://h/x?a=1&X-Goog-Signature=Q4h7Kd92mXw", f"https://h/x?a=1&X-Goog-Signature={MASK}"),
        ("https://h/x?sig=Q4h7Kd92mXw", f"https://h/x?sig={MASK}"),
        ("https://h/x?Expires=1&Signature=Q4h7Kd92mXw~", f"https://h/x?Expires=1&Signature={MASK}"),
        ("Cookie: session=Q4h7; b=Kd92", f"Cookie: {MASK}"),
        ("-H 'Set-Cookie: session=Q4h7; Path=/' x", f"-H 'Set-Cookie: {MASK}' x"),
        ("cookie=session=Q4h7", f"cookie={MASK}"),
        ("Authorization: token Q4h7Kd", f"Authorization: token {MASK}"),
        ("['--token', 'x', '--lr', '0.1']", f"['--token', '{MASK}', '--lr', '0.1']"),
        ('["--password","x"]', f'["--password","{MASK}"]'),
        ("Namespace(password='x', lr=0.1)", f"Namespace(password='{MASK}', lr=0.1)"),
        ("train --token Q4h7 --lr 0.1", f"train --token {MASK} --lr 0.1"),
        ("curl -u ann:Q4h7 https://h", f"curl -u ann:{MASK} https://h"),
        ("mysql -h db -pQ4h7 shop", f"mysql -h db -p{MASK} shop"),
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
        (["sh", "-c", "x --token abc; PGPASSWORD=abc psql"], ["sh", "-c", f"x --token {MASK}; PGPASSWORD={MASK} psql"]),
        (["sh", "-c", ": -u ann:abc"], ["sh", "-c", f": -u ann:{MASK}"]),
        (["curl", "-u", "ann:abc", "https://h"], ["curl", "-u", f"ann:{MASK}", "https://h"]),
        (["curl", "--user=ann:abc", "-b", "sid=abc"], ["curl", f"--user=ann:{MASK}", "-b", f"sid={MASK}"]),
        (["curl", "-H", "Cookie: a=b; c=d", "x"], ["curl", "-H", f"Cookie: {MASK}", "x"]),
        (["/usr/bin/mysql", "-u", "ann", "-pabc", "shop"], ["/usr/bin/mysql", "-u", "ann", f"-p{MASK}", "shop"]),
        (["sshpass", "-p", "abc", "ssh", "h"], ["sshpass", "-p", MASK, "ssh", "h"]),
        (["docker", "login", "-u", "ann", "-p", "abc"], ["docker", "login", "-u", "ann", "-p", MASK]),
        (["redis-cli", "-a", "abc"], ["redis-cli", "-a", MASK]),
        (["t", "+db.password=abc", "--mytok-token", "Q4h7Kd92"], ["t", f"+db.password={MASK}", "--mytok-token", MASK]),
        *((kept, kept) for kept in (
            ["python", "-u", "train.py"], ["docker", "run", "-u", "1000:1000", "-p", "8080:80", "x"],
            ["mkdir", "-p", "a"], ["ssh", "-p22", "h"], ["mysql", "-p$PW", "shop"], ["curl", "-u", "ann:$PW", "x"],
            ["x", "-u", "https://h/x"], ["train", "--num-tokens", "5", "--tokenizer", "bert", "--pass-rate", "0.5"],
            ["sh", "-c", "cat train.py; mysql -P 3306 -p shop"], ["train", "-p0.5", "--auth", "basic", "--key", "id"],
        )),
        (["train", "--pad-token", "<pad>", "--max-tokens=5"], ["train", "--pad-token", "<pad>", "--max-tokens=5"]),
    ],
)  # fmt: skip
def test_commands(command: list[str], left: list[str]) -> None:
    assert list(Masks().command(command)) == left


def test_the_values_of_the_job_s_secrets_are_masked_wherever_they_stand() -> None:
    env = {"DEPLOY_TOKEN": "correct-horse-7", "SHORT_TOKEN": "abc", "WORD_SECRET": "production", "HOME": "/home/ann"}
    masks = Masks.of(env)
    assert masks.text("x correct-horse-7 y abc production /home/ann", "it") == f"x {MASK} y abc production /home/ann"


def test_the_value_of_a_variable_is_masked_as_a_whole_and_only_if_it_stands_out() -> None:
    env = {"PGPASSWORD": "Q4h7Kd", "MYTOK_TOKEN": "Q4h7Kd-and-more", "API_KEY": "dPxKmQwZ", "A_SECRET": "true"}
    masks = Masks.of(
        {**env, "B_SECRET": "1", "C_SECRET": "123456", "D_SECRET": "enabled", "TOKENIZERS_PARALLELISM": "false1"}
    )
    text = "Q4h7Kd-and-more Q4h7Kd dPxKmQwZ true 1 123456 enabled false1"
    assert masks.text(text, "it") == f"{MASK} {MASK} {MASK} true 1 123456 enabled false1"


def test_the_elements_of_a_list_of_words() -> None:
    """A file of parameters becomes names with positions."""
    params = {"args/0": "--token", "args/1": "x", "args/2": "--lr", "args/3": "0.1", "args/4": "--password=y"}
    masked = {**params, "args/1": MASK, "args/4": f"--password={MASK}"}
    assert Masks().mapping(params, "parameter") == masked


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


@pytest.mark.slow
def test_long_texts_take_no_time() -> None:
    started = time.process_time()
    for text in (
        "a=" * 30_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "sk-a-" * 12_000,
        "://" * 20_000,
        "a" * 90_000,
        "eyJ" * 30_000,
        "mysql " * 5_000,
        "curl -b " * 4_000,
        "-u a:" * 6_000,
        "--token " * 4_000,
        "cookie: a=" * 4_000,
    ):
        masks = Masks()
        masks.text(text, "it")
        masks.command([text])
    assert time.process_time() - started < 5


A = "aB3dE5gH7j"
HEX = "0123456789abcdef" * 4
LEAKS = {
    "github fine-grained": "github_pat_11ABCDEFG0" + A * 6,
    "gitlab pat routable": "glpat-" + A * 2 + "." + "01.120a2b3c4",
    "gitlab runner": "glrt-t1_" + A * 2,
    "gitlab runner routable": "glrtr-" + A * 2,
    "gitlab workspace": "glwt-" + A * 2,
    "gitlab old runner": "GR1348941" + A * 2,
    "hf": "hf_" + A * 4,
    "hf org": "api_org_" + "abCdeFgHij" * 3 + "abcd",
    "openai proj": "sk-proj-" + A * 8,
    "anthropic": "sk-ant-api03-" + A * 9,
    "groq": "gsk_" + A * 5 + "ab",
    "replicate": "r8_" + A * 3 + "abcdefg",
    "databricks": "dapi" + HEX[:32],
    "dockerhub": "dckr_pat_" + A * 2 + "abcdefg",
    "vault": "hvs." + A * 9,
    "wandb new": "wandb_v1_" + A * 6,
    "age": "AGE-SECRET-KEY-1" + "QPZRY9X8GF" * 5 + "QPZRY9X8",
    "azure client secret": "abc8Q~" + A * 3 + "abcd",
    "azure sas": "https://a.blob.core.windows.net/c/b?sv=2024-01-01&sp=r&sig=abc%2Bdefghijklmnop%3D",
    "azure conn": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey="
    + A * 8
    + "abcdef==;EndpointSuffix=core.windows.net",
    "azure shared access key": "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey="
    + A * 4
    + "abc=",
    "aws env": "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "aws session": "aws_session_token=FwoGZXIvYXdzE" + A * 5,
    "aws presigned": "https://b.s3.amazonaws.com/x?X-Amz-Security-Token=FwoGZXIvYXdzE" + A * 5 + "&x=1",
    "userinfo at": "postgresql://ann:p@ss-hunter2@db.example/x",
    "userinfo token only": "https://" + A * 3 + "@github.com/acme/x.git",
    "redis": "redis://:hunter2hunter2@cache:6379/0",
    "url token": "https://dagshub.com/a.mlflow?token=" + A * 2,
    "gcs signed": "https://storage.googleapis.com/b/o?X-Goog-Signature=" + HEX,
    "json": '{"user": "ann", "password": "hunter2-of-us"}',
    "yaml": "password: hunter2-of-us",
    "telegram": "123456789:AAH" + A * 3 + "ab",
    "discord": "https://discord.com/api/webhooks/123456789012345678/" + A * 6,
    "slack app": "xapp-1-A0123456789-1234567890123-" + HEX,
    "stripe whsec": "whsec_" + A * 3,
    "grafana": "glsa_" + A * 3 + "ab_1234abcd",
    "atlassian": "ATATT3xFfGF0" + A * 8,
    "pinecone": "pcsk_" + A * 5,
    "kaggle": "KGAT_" + "0123456789abcdef" * 2,
    "notion": "ntn_" + A * 4 + "abcdef",
    "linear": "lin_api_" + A * 4,
    "newrelic": "NRAK-" + "ABCDEFGHIJ" * 2 + "ABCDEFG",
    "jwt": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4",
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----",
    "pgp": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----",
    "bearer": "Authorization: Bearer " + A * 3,
    "basic": "Authorization: Basic " + "YWxhZGRpbjpvcGVuc2VzYW1l",
    "gcp oauth refresh": "1//0g" + A * 5,
    "beyond the first piece": "x" * 65_526 + " ghp_" + A * 4,
}


@pytest.mark.parametrize("kind", LEAKS)
def test_no_secret_of_a_known_service_is_kept(kind: str) -> None:
    """In a value, a tag, the name of either, an address, a command and the words of people."""
    text = LEAKS[kind]
    left = Masks().text(text, "it")
    assert MASK in left and Masks().text(left, "it") == left
    parts = re.findall(r"[\w+/~-]{10,}", text.replace("x" * 100, ""))
    secret = max(parts, key=len) if len(text) < 60_000 else A * 4
    masks = Masks()
    for kept in (
        masks.mapping({"note": text}, "tag"),
        masks.mapping({text: "x"}, "parameter"),
        masks.names({text: 1.0}, "metric"),
        masks.command([f"--note={text}"]),
    ):
        assert secret not in str(kept) or secret in left
    assert secret not in str(masks.masked) or secret in left


@pytest.mark.parametrize(
    "text",
    [
        "token: cls", "the --token option", "cookie: chocolate", "use -u for it",
        "the secret: patience", "sort_key=created_at", "max_tokens=512", "tokenizer: bert-base-uncased",
        "loss: 0.25, accuracy: 0.9", "https://user@example.com/x", "s3://bucket/a/b:c", "runs/2026-11-23/model.pt",
        "sha256:" + HEX, "0123456789abcdef0123456789abcdef01234567", "password: see the vault", "key: value",
        "s3://bucket/data-0001.parquet@2", "python train.py --lr=0.1 --pad-token=<pad>",
    ],
)  # fmt: skip
def test_words_about_tokens_stay(text: str) -> None:
    assert Masks().text(text, "it") == text


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass()", 'api_key = os.environ["API_KEY"]', "the predicted token = the", "token = 50256",
        "hub_token=<HUB_TOKEN>, token=None", "Namespace(use_auth_token=False)", "<token> is missing", "secrets = 0",
        "password_length=12", "password_length = 12", "max_tokens = 100", "pass = 1", "use_auth_token = True",
    ],
)  # fmt: skip
def test_code_and_numbers_stay(text: str) -> None:
    assert Masks().text(text, "it") == text


@pytest.mark.parametrize(
    "text",
    [
        "failed with p%2Fss%2BX9%2Fw", 'json: "p/ss+X9/w\\""', "cC9zcytYOS93", "killed in the middle of p/ss+X9",
        "the password is in-the-url-7", "-> line-of-the-key-0001", "a=&lt;p/ss+X9/w&gt;",
    ],
)  # fmt: skip
def test_a_value_of_the_job_is_found_in_other_forms(text: str) -> None:
    """In an address, in JSON, in Base64, in HTML, and in a text that ends within it."""
    masks = Masks.of(
        {
            "DB_PASSWORD": "p/ss+X9/w",
            "QUOTED_PASSWORD": 'p/ss+X9/w"',
            "HTML_PASSWORD": "<p/ss+X9/w>",
            "DATABASE_URL": "postgres://ann:in-the-url-7@db/x",
            "SIGNING_SECRET": "first\nline-of-the-key-0001\nlast",
        }
    )
    masked = masks.text(text, "it")
    assert MASK in masked and not any(part in masked for part in ("ss+X9", "2BX9", "cC9z", "in-the-url", "line-of"))


@pytest.mark.parametrize(
    "text", ["true", "main", "production", "1", "postgres", "/home/runner/work/wine/wine", "/home/", "a=ghp_abcdef"]
)
def test_words_that_variables_of_a_job_hold_stay(text: str) -> None:
    """Among them the folder of the job, where the file with the credentials of a cloud is."""
    masks = Masks.of(
        {
            "USE_TOKEN": "true",
            "DEPLOY_SECRET": "main",
            "VAULT_SECRET": "production",
            "SECRET_ID_TOKEN": "1",
            "DATABASE_URL": "postgres://postgres:postgres@db/x",
            "GOOGLE_APPLICATION_CREDENTIALS": "/home/runner/work/wine/wine/gha-creds-0a1b2c.json",
            "GITHUB_TOKEN": "ghp_abcdef0123456789abcdef0123456789abcd",
        }
    )
    assert masks.text(text, "it") == text
