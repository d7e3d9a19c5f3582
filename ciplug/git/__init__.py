"""The only file that runs git.

Argument lists, never a shell; LC_ALL=C so that outcomes can be read; no prompt; nothing of the user's
configuration is written, and no command here touches a work tree, an index or a HEAD.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from ciplug.errors import GitError

# Variables of git's own that say how to reach a remote. The others (GIT_DIR, GIT_INDEX_FILE, …) are set
# inside hooks and would point us at the wrong repository.
_KEPT = {
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
}
_KEPT_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
_TRANSPORT = ("http.", "credential.", "url.", "ssh.", "safe.", "protocol.")
_TRANSPORT_KEYS = {"core.sshcommand", "core.gitproxy", "core.askpass", "credential.helper"}
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s]+@")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/\s:]*):([^/\s]*)@")
_CHUNK = 1024 * 1024
_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")

OLDEST = (2, 31)
"""The first git with all that is used here: configuration in the environment, absolute paths, `fetch --stdin`."""

Config = tuple[tuple[str, str], ...]


def redact(text: str) -> str:
    """Take user names and tokens out of URLs."""
    return _CREDENTIALS_IN_URL.sub("", text)


def without_password(url: str) -> str:
    """The URL as it may stand in a command line, which everyone on the machine can read."""
    return _PASSWORD_IN_URL.sub("", url) if url.startswith("http") else url


def is_commit_id(text: str) -> bool:
    """A full object id, SHA-1 or SHA-256."""
    return bool(_HEX.match(text))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for git: the caller's own, without what hooks set, without prompts."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or key in _KEPT or key.startswith(_KEPT_PREFIXES)
    }
    env.update(LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GCM_INTERACTIVE="never")
    env.update(extra or {})
    return env


def git(
    *args: str,
    cwd: Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """Run git and return what it printed. Raises GitError with git's own words when `check` and it fails."""
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env=env if env is not None else environment(),
            check=False,
        )
    except FileNotFoundError:
        newer = ".".join(map(str, OLDEST))
        raise GitError("git is not installed, or not on PATH", hint=f"install git {newer} or newer") from None
    if check and done.returncode != 0:
        raise GitError(f"git {args[0]} failed: {last_words(done.stderr)}", hint=_hint(done.stderr))
    return done


def version() -> tuple[int, ...]:
    """git's version, like (2, 39, 5); empty where its words are not understood. Raises GitError without git."""
    found = re.search(rb"git version (\d+(?:\.\d+)*)", git("--version", cwd=Path.cwd(), check=False).stdout)
    return tuple(map(int, found[1].split(b"."))) if found else ()


_BY_SSH = "Could not read from remote repository"


def last_words(stderr: bytes) -> str:
    """What git said, in one line, without progress noise and credentials."""
    text = redact(stderr.decode(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line.removeprefix("remote: ")
        for line, after in zip(lines, [*lines, ""][1:], strict=True)
        # What ssh has said stands before git's own words, in no form of its own.
        if line.startswith(("fatal:", "error:", "remote:", " !", "!")) or _BY_SSH in after
    ]
    return "; ".join(dict.fromkeys(telling or lines[-2:])) or "no message"


def _hint(stderr: bytes) -> str | None:
    if b"dubious ownership" in stderr:
        return "run as the owner of the checkout, or: git config --global --add safe.directory <path>"
    if b"could not read Username" in stderr or b"Authentication failed" in stderr or b"403" in stderr:
        return "this checkout's credentials do not reach the repository: CIPLUG_PUSH_TOKEN takes their place"
    return None


def configuration(cwd: Path) -> Config:
    """Every resolved configuration value, in order, as git sees them from `cwd`; keys as git lower-cases them."""
    listed = git("config", "-z", "--list", cwd=cwd, check=False).stdout.decode(errors="surrogateescape")
    pairs = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return tuple((key, value if newline else "true") for key, newline, value in pairs)


@dataclass(frozen=True)
class Workspace:
    """The repository that encloses a folder, as it was when it was looked at."""

    top: Path
    git_dir: Path
    common_dir: Path
    """Shared by all linked work trees."""
    head: str | None
    """Full commit id, None on an unborn branch."""
    branch: str | None
    """None when detached."""
    shallow: bool
    object_format: str
    config: Config

    def setting(self, key: str) -> str | None:
        """The last value of a configuration key, as git resolves it."""
        return next((value for name, value in reversed(self.config) if name == key), None)

    @property
    def remotes(self) -> dict[str, str]:
        """Name → URL. A path becomes a file:// URL: we push from elsewhere, and git filters only what has a name."""
        found: dict[str, str] = {}
        for key, value in self.config:
            if key.startswith("remote.") and key.endswith(".url"):
                found.setdefault(key[len("remote.") : -len(".url")], _absolute(value, self.top))
        return found


def file_url(path: Path) -> str:
    """The file:// URL of a repository on this disk."""
    return path.resolve().as_uri()


def _absolute(url: str, base: Path) -> str:
    is_path = "://" not in url and not re.match(r"[^/\\]{2,}:", url)
    return file_url(base / Path(url).expanduser()) if is_path else url


def discover(cwd: Path) -> Workspace | None:
    """The enclosing repository with a work tree, or None."""
    asked = (
        "--show-toplevel",
        "--git-dir",
        "--git-common-dir",
        "--is-shallow-repository",
        "--show-object-format",
    )
    done = git("rev-parse", "--path-format=absolute", *asked, "HEAD", cwd=cwd, check=False)
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if len(lines) < len(asked):
        if b"not a git repository" in done.stderr or b"must be run in a work tree" in done.stderr:
            return None
        raise GitError(f"git cannot read the repository: {last_words(done.stderr)}", hint=_hint(done.stderr))
    top, git_dir, common_dir, shallow, object_format, *head = lines
    symbolic = (Path(git_dir) / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
    branch = symbolic.removeprefix("ref: refs/heads/")
    return Workspace(
        top=Path(top),
        git_dir=Path(git_dir),
        common_dir=Path(common_dir),
        head=head[0] if head and is_commit_id(head[0]) else None,
        branch=branch if branch != symbolic else None,
        shallow=shallow == "true",
        object_format=object_format,
        config=configuration(cwd),
    )


def transport_environment(config: Config, url: str, token: str | None = None) -> dict[str, str]:
    """The environment for git in a repository of ours, with the credentials of the user's, to reach `url`.

    A checkout may keep its token in a file that is included for that checkout's path only, so the
    resolved values are handed over, and no other configuration is read. A `token` takes the place of
    every stored header: two would be answered with a 400. The password in a URL, which `without_password`
    takes out, is handed over in the same way; a stored header comes before it, as it does for git.
    """
    pairs = [(key, value) for key, value in config if key.startswith(_TRANSPORT) or key in _TRANSPORT_KEYS]
    in_url = _PASSWORD_IN_URL.search(url) if url.startswith("http") else None
    login = ":".join(map(unquote, in_url.groups())) if in_url else None
    if token:
        # GitHub, GitLab and Gitea take any name; Bitbucket this one only.
        user = "x-token-auth" if re.match(r"https?://([^/]*@)?bitbucket\.org/", url) else "x-access-token"
        login = f"{user}:{token}"
        pairs = [(k, v) for k, v in pairs if not _is_header(k)]
    site = re.match(r"https?://[^/]+/", redact(url))
    if login and site and not any(_authorizes(key, value, redact(url)) for key, value in pairs):
        basic = base64.b64encode(login.encode()).decode()
        pairs.append((f"http.{site[0]}.extraheader", f"Authorization: Basic {basic}"))
    if not any(key == "http.lowspeedlimit" for key, _ in pairs):
        pairs += [("http.lowspeedlimit", "1000"), ("http.lowspeedtime", "60")]
    pairs.append(("core.hookspath", os.devnull))
    # By default git takes for the remote's only what lies at the same path; a fold moves things.
    pairs.append(("pack.usesparse", "false"))
    env = environment()
    for key in [k for k in env if k.startswith(("GIT_CONFIG_",))]:
        del env[key]
    env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_COUNT=str(len(pairs)))
    for number, (key, value) in enumerate(pairs):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    if "GIT_SSH_COMMAND" not in env and "GIT_SSH" not in env and not any(k == "core.sshcommand" for k, _ in pairs):
        env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    return env


Source = Literal["header", "url", "helper"]


def stored_credential(config: Config, url: str) -> Source | None:
    """Where the configuration keeps a credential for an address; a helper may know one. None: it keeps none."""
    if any(_authorizes(key, value, redact(url)) for key, value in config):
        return "header"
    if url.startswith("http") and _PASSWORD_IN_URL.search(url):
        return "url"
    helpers = [value for key, value in config if key.startswith("credential.") and key.endswith("helper")]
    return "helper" if any(helpers) else None


def _is_header(key: str) -> bool:
    return key.startswith("http.") and key.endswith(".extraheader")


def _authorizes(key: str, value: str, url: str) -> bool:
    site = key[len("http.") : -len(".extraheader")]
    return _is_header(key) and url.startswith(site) and value.lower().startswith("authorization:")


def init_bare(path: Path, object_format: str) -> None:
    """Lay out an empty bare repository: what `git init --bare` makes, without starting a process."""
    for folder in ("objects/pack", "refs/heads"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    write_config(path, object_format)
    (path / "HEAD").write_text("ref: refs/heads/none\n")


def write_config(path: Path, object_format: str) -> None:
    """(Re)write a repository of ours with nothing in its configuration: no promisor, so nothing is fetched
    behind our back."""
    version = 0 if object_format == "sha1" else 1
    text = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n[gc]\n\tauto = 0\n"
    if object_format != "sha1":
        text += f"[extensions]\n\tobjectFormat = {object_format}\n"
    (path / "config").write_text(text)


@dataclass(frozen=True)
class PushResult:
    """What became of each ref of a push; `failure` is git's last words where there was no answer per ref."""

    rejected: Mapping[str, str]
    failure: str | None = None
    hint: str | None = None
    said: str = ""
    """The server's own words on a refusal."""

    @property
    def ok(self) -> bool:
        return not self.rejected and self.failure is None


def push(
    repository: Path,
    url: str,
    refspecs: Sequence[str],
    *,
    env: Mapping[str, str],
    options: Iterable[str] = (),
) -> PushResult:
    """One `git push`; never raises for a refusal."""
    done = git("push", "--porcelain", *options, "--", url, *refspecs, cwd=repository, env=env, check=False)
    if done.returncode == 0:
        return PushResult({})
    rejected = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith("!\t"):
            _, names, reason = [*line.split("\t"), "", ""][:3]
            rejected[names.rpartition(":")[2]] = redact(reason)
    told = redact(done.stderr.decode(errors="replace")).splitlines()
    said = " ".join(line.removeprefix("remote:").strip() for line in told if line.startswith("remote:"))
    return PushResult(rejected, None if rejected else last_words(done.stderr), _hint(done.stderr), said[:500].strip())


def read_objects(repository: Path, names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Name → (type, content) of the objects among `names` that are there, by one `cat-file --batch`."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    out = git("cat-file", "--batch", cwd=repository, input=("\n".join(wanted) + "\n").encode()).stdout
    found, at = {}, 0
    for name in wanted:
        end = out.index(b"\n", at)
        header = out[at:end].split()
        at = end + 1
        if header[-1] == b"missing":
            continue
        size = int(header[2])
        found[name] = (header[1].decode(), out[at : at + size])
        at += size + 1
    return found


def present(repository: Path, names: Iterable[str]) -> set[str]:
    """Which of these objects are there."""
    wanted = sorted(set(names))
    if not wanted:
        return set()
    asked = ("\n".join(wanted) + "\n").encode()
    out = git("cat-file", "--batch-check=%(objectname)", cwd=repository, input=asked).stdout.decode()
    return {name for name, line in zip(wanted, out.splitlines(), strict=True) if not line.endswith(" missing")}


def stream_blob(repository: Path, oid: str, start: int = 0) -> Iterator[bytes]:
    """The content of a blob from byte `start` on, in pieces: it is never whole in memory. Raises GitError."""
    with subprocess.Popen(
        ["git", "cat-file", "blob", oid],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise GitError("git cat-file has no output")
        try:
            while chunk := process.stdout.read(min(start, _CHUNK) or _CHUNK):
                # git gives a blob from its first byte only.
                if start:
                    start -= len(chunk)
                else:
                    yield chunk
        finally:
            process.stdout.close()
            said = process.stderr.read()
    if process.returncode:
        raise GitError(f"git cat-file failed: {last_words(said)}")
