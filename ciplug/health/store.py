"""The store: can it be read, and does it accept what ciplug writes?"""

from __future__ import annotations

from ciplug.errors import Cause, StoreError, counted
from ciplug.forges import forge_name
from ciplug.health import remedies
from ciplug.health.base import Examined, Trouble, failure, skipped, warning
from ciplug.health.checkout import FORKED, store_url, to_reach
from ciplug.steps.session import NO_ARTIFACTS, Session
from ciplug.stores import DEFAULT_URI, Store, Trial, is_archived, is_git, open_store


def read(session: Session, before: Examined) -> str:
    if before["configuration"].state == "failure" and session.store_uri == DEFAULT_URI:
        raise skipped("the store is unknown: ciplug.yaml cannot be read")
    store = _store(session)
    try:
        waiting = len(store.loose())
    except StoreError as problem:
        if not is_git(session.store_uri):
            raise
        remedy = to_reach(session, store_url(session) or "", problem.cause)
        raise failure(problem.message, remedy or problem.hint or "") from None
    if store.notes:
        if session.store_uri.startswith("file:") and not waiting:
            remedy = "mount it, or correct the path; if it is right, the first run that is recorded makes the folder"
        else:
            remedy = "see docs/jenkins.md" if is_archived(session.store_uri) else "ciplug compact"
        raise warning("; ".join(store.notes), remedy)
    are = "is" if waiting == 1 else "are"
    return f"readable: {store.address}, with {counted(waiting, 'object')} that {are} not in a segment yet"


def write(session: Session, before: Examined) -> str:
    tried = _tried(session, before)
    trial = next(one for one in tried if one.what == "write")
    if trial.cause is None and trial.spare:
        raise warning(
            f"this host refuses refs outside of refs/heads, so runs and files go to branches, which every clone "
            f"downloads: {trial.words}",
            "keep files elsewhere: artifact_store: s3://…, or none",
        )
    if trial.cause is None:
        _tell_deletion(tried)
        return f"a trial was accepted and deleted: {trial.words}"
    raise _refused(session, trial)


def branch(session: Session, before: Examined) -> str:
    """The branch of a git store. Only folds and the registry move it."""
    trial = next((one for one in _tried(session, before) if one.what == "branch"), None)
    if trial is None:
        raise skipped("the store has no branch" if not is_git(session.store_uri) else "nothing can be pushed")
    if trial.cause is None:
        return f"the branch can be updated ({trial.words})"
    if trial.cause == Cause.UNKNOWN:
        raise skipped(f"no clear answer: {trial.words}")
    raise _refused(session, trial)


def artifacts(session: Session, before: Examined) -> str:
    place = session.artifact_store
    if place == NO_ARTIFACTS or is_archived(session.store_uri):
        return "only digests are kept"
    if place is None or place == session.store_uri:
        return "kept with the runs"
    if not session.context.trusted:
        raise skipped(FORKED)
    tried = open_store(place, session.workspace, session.env).try_writes()
    if (cause := tried[0].cause) is not None:
        by_git = is_git(place)
        raise failure(tried[0].words, to_reach(session, place, cause) if by_git else _bucket_rights(place))
    _tell_deletion(tried)
    return f"a trial was accepted and deleted: {tried[0].words}"


def _tried(session: Session, before: Examined) -> list[Trial]:
    if not session.context.trusted:
        raise skipped(FORKED)
    if before["store"].state in ("failure", "skipped"):
        raise skipped("the store cannot be read")
    return _try(session)


def _try(session: Session) -> list[Trial]:
    return session.remember("trials", _store(session).try_writes)


def _store(session: Session) -> Store:
    """The store, opened so that reading folds nothing: doctor leaves it unchanged."""
    return session.remember(
        "unfolded store",
        lambda: open_store(session.store_uri, session.workspace, session.env, may_fold=False, bundles=session.bundles),
    )


def _tell_deletion(tried: list[Trial]) -> None:
    trial = next((one for one in tried if one.what == "delete"), None)
    if trial is not None and trial.cause is not None:
        raise warning(f"refs cannot be deleted, so nothing is folded: {trial.words}")


def _refused(session: Session, trial: Trial) -> Trouble:
    if is_archived(session.store_uri):
        return failure(trial.words, "run ciplug in a build of that job, where its workspace can be written")
    if not is_git(session.store_uri):
        return failure(trial.words, _bucket_rights(session.store_uri))
    name = session.store.address.rpartition("#")[2]
    ruled_out = trial.cause in (Cause.PROTECTED, Cause.RULE, Cause.UNKNOWN)
    problem = "runs cannot be pushed"
    if trial.what == "branch":
        problem = f"runs are recorded, but folds and promotions are not: the branch '{name}' cannot be moved"
    if trial.cause == Cause.IN_THE_WAY:
        return failure(f"{problem}: {trial.words}")
    if ruled_out and trial.what == "branch":
        remedy = remedies.branch(forge_name(session.context, session.env, session.remote_url), name)
    elif ruled_out:
        remedy = remedies.refs(name)
    else:
        remedy = to_reach(session, store_url(session) or "", trial.cause or Cause.UNKNOWN)
    return failure(f"{problem}: {trial.words}", remedy)


def _bucket_rights(uri: str) -> str:
    return {
        "s3": "grant s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject on the bucket",
        "gs": "grant roles/storage.objectUser on the bucket",
        "az": "grant 'Storage Blob Data Contributor' on the container",
    }.get(uri.partition("://")[0], "let this account write the folder")
