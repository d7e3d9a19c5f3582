"""Places for records and files: `open_store` and `open_files` turn a URI into one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ciplug.errors import ConfigError
from ciplug.git.bare import file_url
from ciplug.git.cache import cache_folder
from ciplug.git.credentials import push_token, redact
from ciplug.git.remote import url_of
from ciplug.git.run import run_git
from ciplug.git.workspace import PushPlace, Workspace, configuration, push_place
from ciplug.stores.base import Columns, Head, Log, Objects, Problem, Store, Trial, log_of
from ciplug.stores.files import OWN, Files

if TYPE_CHECKING:
    from ciplug.stores.jenkins.build import Check

__all__ = [
    "OWN",
    "Bundles",
    "Columns",
    "Files",
    "Head",
    "Log",
    "Objects",
    "Problem",
    "Store",
    "Trial",
    "is_archived",
    "log_of",
    "open_files",
    "open_store",
    "reached_by",
]

DEFAULT_URI = "git:"
DEFAULT_BRANCH = "ciplug"
_TRANSPORTS = ("https", "http", "ssh", "file")
_FOLDER = "file://"
_OBJECTS = (_FOLDER, "s3://", "gs://", "az://")


@dataclass(frozen=True)
class Bundles:
    """The needs of a store whose objects go through bundles that another system keeps."""

    folder: Path
    """The folder of those that are written, until the pipeline archives them."""
    check: Check
    trusted: bool = True
    """Whether this job's own bundles are those of a job that may write a store; False for a fork's."""


def is_archived(uri: str) -> bool:
    """Whether a URI names a store that holds what pipelines archive."""
    return uri.partition("?")[0] == "jenkins:" or uri.startswith(("jenkins+http://", "jenkins+https://"))


def store_name(store: Store) -> str:
    """The store as a person knows it: "branch 'ciplug' of https://github.com/acme/wine", or its URI."""
    if not is_git(store.uri):
        return store.uri
    remote, _, branch = store.address.rpartition("#")
    return f"branch '{branch}' of {remote}"


def open_store(
    uri: str,
    workspace: Workspace | None,
    env: Mapping[str, str] | None = None,
    *,
    may_fold: bool = True,
    bundles: Bundles | None = None,
    offline: bool = False,
) -> Store:
    """The store that a URI names. Nothing is contacted yet.

    `git:` is the remote of the enclosing repository (or the repository itself, if it has none);
    `git+https://…`, `git+ssh://…`, `git+file://…` name another; `?branch=NAME` another branch than "ciplug".
    `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` and `file:///folder` are object stores.
    `jenkins:` and `jenkins+https://host/job/demo` are what the builds of a Jenkins job have archived; they need
    `bundles`.

    Args:
        offline: the store is read as this machine read it last: no network is used, and nothing is written.

    Raises ConfigError for a URI that names no store, or has credentials in it where they are not taken; StoreError
    when the library for it is not installed.
    """
    env = os.environ if env is None else env
    if not is_git(uri):
        if uri.startswith(_OBJECTS):
            from ciplug.stores.bucket.opening import open_bucket
            from ciplug.stores.bucket.store import ObjectStore

            bucket, cache = open_bucket(uri, env), cache_folder(workspace, env) / "objects"
            if not uri.startswith(_FOLDER):
                from ciplug.stores.bucket.remembered import RememberedBucket

                bucket = RememberedBucket(bucket, cache / "read", offline=offline)
            return ObjectStore(bucket, uri=uri, cache=cache, may_fold=may_fold and not offline)
        if is_archived(uri) and bundles is not None:
            from ciplug.stores.jenkins.place import place_of
            from ciplug.stores.jenkins.store import JenkinsStore

            return JenkinsStore(
                place_of(uri, env),
                env=env,
                cache=cache_folder(workspace, env) / "jenkins",
                folder=bundles.folder,
                check=bundles.check,
                trusted=bundles.trusted,
            )
        raise _unsupported(uri)
    place, branch = _git_place(uri, workspace)
    from ciplug.stores.git.store import GitStore

    return GitStore(
        place.url,
        uri=uri,
        branch=branch,
        cache=cache_folder(workspace, env) / "git",
        config=place.config,
        token=push_token(env, place.url, _checkout_url(workspace)),
        object_format=_object_format(uri, workspace),
        may_fold=may_fold,
        refusal=place.refusal,
        offline=offline,
        notes=_left_behind(uri, place.url, workspace, branch),
    )


def check_store(uri: str) -> None:
    """Raise the ConfigError of `open_store` for an address that no job could use. Nothing is opened."""
    if is_git(uri):
        _parse_git(uri)
    elif uri.startswith(_OBJECTS):
        from ciplug.stores.bucket.opening import check_address as check_bucket

        check_bucket(uri)
    elif is_archived(uri):
        from ciplug.stores.jenkins.place import check_address as check_job

        check_job(uri)
    else:
        raise _unsupported(uri)


def check_files(uri: str) -> None:
    """Raise the ConfigError of `open_files` for an address that no job could use. Nothing is opened."""
    if not is_git(uri) and not uri.startswith(_OBJECTS):
        raise _unsupported_files(uri)
    check_store(uri)


def _unsupported(uri: str) -> ConfigError:
    return ConfigError(
        f"unsupported store '{redact(uri)}'",
        hint="use 'git:', 'git+https://…', 's3://…', 'gs://…', 'az://…', 'file:///…', 'jenkins:' or 'jenkins+https://…'",
    )


def _unsupported_files(named: str) -> ConfigError:
    return ConfigError(
        f"unsupported artifact store '{redact(named)}'",
        hint="use 's3://…', 'gs://…', 'az://…', 'file:///…', 'git:', 'git+https://…', or 'none'",
    )


def _left_behind(uri: str, url: str, workspace: Workspace | None, branch: str) -> list[str]:
    """Return advice for a repository that was its own store before it had a remote."""
    if workspace is None or not uri.startswith("git:") or url == file_url(workspace.common_dir):
        return []
    if not _has_refs(workspace, branch):
        return []
    return [
        f"this repository itself holds runs, from before it had a remote: move them by git push REMOTE "
        f"'refs/{branch}/*' 'refs/heads/{branch}*', then git for-each-ref --format='delete %(refname)' "
        f"refs/{branch} | git update-ref --stdin"
    ]


_without_refs: set[tuple[Path, str]] = set()
"""Checkouts, and branches, of which this process knows that they hold no store from before they had a remote."""


def _has_refs(workspace: Workspace, branch: str) -> bool:
    """Whether a checkout has refs of a store of its own. Asked once, where it has none: none come up any more."""
    clone = workspace.common_dir, branch
    if clone not in _without_refs:
        if run_git("for-each-ref", "--count=1", f"refs/{branch}/", cwd=workspace.top, check=False).stdout:
            return True
        _without_refs.add(clone)
    return False


def open_files(
    uri: str,
    workspace: Workspace | None,
    env: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    limit: int | None = None,
    may_fold: bool = True,
    named_by_user: bool = True,
    offline: bool = False,
    keep: bool = False,
) -> Files:
    """The place for files that a URI names: a git store as `open_store` knows it, an object store, or a folder.

    Args:
        name: what records call it; default: the URI, without credentials.
        limit: bytes of the largest file that goes to git; object stores take any.
        named_by_user: False where a record names it, which anybody may have written: no token of ours is sent there.
        offline: only what this machine has fetched before is there: of a git store in any way, of a bucket by `keep`.
        keep: keep a copy of each file that is fetched from a bucket, for later and offline.

    Nothing is contacted yet. Raises ConfigError for a URI of another kind, and StoreError where the library for it is
    not installed.
    """
    env = os.environ if env is None else env
    named = name or redact(uri)
    if is_git(uri):
        from ciplug.stores.git.cached_remote import CachedRemote
        from ciplug.stores.git.files import GitFiles

        place, branch = _git_place(uri, workspace)
        remote = CachedRemote(
            place.url,
            cache=cache_folder(workspace, env) / "git",
            name=f"{branch}-files",
            config=place.config,
            refusal=place.refusal,
            token=push_token(env, place.url, _checkout_url(workspace)) if named_by_user else None,
            object_format=_object_format(uri, workspace),
            offline=offline,
        )
        return GitFiles(remote, branch, uri=named, limit=limit, may_fold=may_fold and not offline)
    if not uri.startswith(_OBJECTS):
        raise _unsupported_files(named)
    from ciplug.stores.bucket.files import ObjectFiles
    from ciplug.stores.bucket.opening import open_bucket

    files = ObjectFiles(open_bucket(uri, env), named)
    if uri.startswith(_FOLDER) or not (offline or keep):
        return files
    from ciplug.stores.bucket.local_copies import LocalCopies

    return LocalCopies(files, cache_folder(workspace, env) / "files", offline=offline)


def reached_by(address: str, env: Mapping[str, str]) -> str | None:
    """Return the command-line name for the store at this address; None if only a remote can name it."""
    import shlex

    url, hash_sign, branch = address.rpartition("#")
    scheme = address.partition("://")[0]
    if f"{scheme}://" in _OBJECTS and not (scheme == "file" and hash_sign):
        from ciplug.stores.bucket.opening import reached_by

        return reached_by(address, env)
    if is_archived(address):
        return "--store " + shlex.quote(address)
    if scheme not in _TRANSPORTS:
        return None
    return "--store " + shlex.quote(f"git+{url}" + ("" if branch == DEFAULT_BRANCH else f"?branch={branch}"))


def is_git(uri: str) -> bool:
    """Whether a URI names a git store."""
    return uri.partition(":")[0] == "git" or uri.startswith("git+")


def _object_format(uri: str, workspace: Workspace | None) -> str:
    return workspace.object_format if workspace and not uri.startswith("git+") else "sha1"


def _checkout_url(workspace: Workspace | None) -> str | None:
    return url_of(workspace) if workspace else None


def _git_place(uri: str, workspace: Workspace | None) -> tuple[PushPlace, str]:
    """Return the address at which git reaches the repository, and the branch."""
    url, branch = _parse_git(uri)
    if url is None:
        return _own_remote(workspace), branch
    return PushPlace(url, workspace.config if workspace else configuration(Path.cwd())), branch


def _parse_git(uri: str) -> tuple[str | None, str]:
    """Return the address of a repository, None for the enclosing one, and the branch. Raises ConfigError."""
    named = redact(uri)
    scheme, _, rest = uri.partition(":")
    address, _, query = rest.partition("?")
    branch = _branch(named, query)
    if scheme == "git":
        if address:
            raise ConfigError(
                f"store '{named}': 'git:' takes no address", hint="name another repository by git+https://…"
            )
        return None, branch
    transport = scheme.removeprefix("git+")
    if transport not in _TRANSPORTS:
        raise ConfigError(f"store '{named}': git is not reached by '{transport}'", hint="https, ssh or file")
    if not address.startswith("//"):
        raise ConfigError(f"store '{named}': an address is expected after '{scheme}:'", hint=f"{scheme}://…")
    return f"{transport}:{address}", branch


def _branch(named: str, query: str) -> str:
    options = dict(parse_qsl(query, keep_blank_values=True))
    branch = options.pop("branch", DEFAULT_BRANCH)
    if options:
        raise ConfigError(f"store '{named}': unknown option '{min(options)}'", hint="the only option is ?branch=NAME")
    bad = not branch or branch.startswith(("-", "/")) or branch.endswith(("/", ".", ".lock"))
    if bad or ".." in branch or any(c in branch for c in " ~^:?*[\\"):
        raise ConfigError(f"store '{named}': '{branch}' is not a valid name of a branch")
    return branch


def _own_remote(workspace: Workspace | None) -> PushPlace:
    if workspace is None:
        raise ConfigError(
            "the store 'git:' is the enclosing repository, and this folder is in none",
            hint="run inside a checkout, or name a repository: --store git+https://…",
        )
    remotes = workspace.remotes
    if not remotes:
        return PushPlace(file_url(workspace.common_dir), workspace.config)
    if "origin" in remotes or len(remotes) == 1:
        return push_place(workspace, "origin" if "origin" in remotes else next(iter(remotes)))
    raise ConfigError(
        f"the store 'git:' is the remote 'origin', and this repository has only {', '.join(sorted(remotes))}",
        hint="name the repository: --store git+https://…",
    )
