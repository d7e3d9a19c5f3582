"""The copies of runs in one experiment of a server: which are complete, and which another export is writing.

A copy has the tag `ciplug.copying` from its first request on, beside the id of the export that writes it. The tag
`ciplug.run` is written last. An export removes an unfinished copy that it wrote itself, or that is so old that
nobody writes it any more, and no other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ciplug.capture.mlflow.marks import TAG
from ciplug.errors import StoreError
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused
from ciplug.interop.mlflow_uploads import pairs
from ciplug.mlflow.state import Experiment
from ciplug.reports.untrusted import clean

COPYING, WRITER = "ciplug.copying", "ciplug.copying_by"
_ABANDONED = 12 * 3600
"""Seconds after which nobody writes an unfinished copy any more."""
_ATTEMPTS = 5
_BACKOFF = 0.5
_NEWEST = 20


class Copy(NamedTuple):
    """A run of the server that an export wrote, or writes."""

    id: str
    of: str
    """The run that it is a copy of."""
    is_complete: bool
    is_active: bool
    mark: str
    """Of the export that writes it: its id, and the time by its clock."""

    @property
    def since(self) -> str:
        _, begun = _read_mark(self.mark)
        if begun is None:
            return "an unknown time"
        return f"{datetime.fromtimestamp(begun, timezone.utc):%Y-%m-%d %H:%M} UTC"


class Busy(StoreError):
    """Another export is copying this run at this moment, was until it was cut off, or has just done so."""

    def __init__(self, copy: Copy) -> None:
        super().__init__(
            f"another export is copying it, since {copy.since}; if that was cut off, delete the unfinished copy "
            f"{clean(copy.id, 64)} there, or export again after {_ABANDONED // 3600} hours"
        )
        self.copy = copy


class Copies:
    """The experiment of a server that runs are copied to; it is made where there is none.

    Args:
        writer: the id of this export.
    """

    def __init__(self, server: MlflowServer, experiment: Experiment, writer: str) -> None:
        self._server, self._experiment, self._writer = server, experiment, writer
        self.name = server.dialect.experiment_name(experiment.name)
        self._seen: set[str] = set()
        """The runs there that were there when this export looked, or that it has made since."""
        self._others: dict[str, Copy] = {}
        """Run → its copy by another export."""
        self._begun: dict[str, str] = {}
        """Run → its copy by this one."""
        copy = self._find()
        self._is_new = copy is None
        if copy is None:
            try:
                copy = {"experiment_id": server.post("experiments/create", {"name": self.name})["experiment_id"]}
            except Refused as refused:
                # Another export was first, or our own request, of which the answer was lost.
                copy = self._find()
                if copy is None:
                    raise refused from None
        self.id = str(copy["experiment_id"])
        self.is_deleted = copy.get("lifecycle_stage", "active") != "active"
        self._tags = {tag["key"] for tag in copy.get("tags") or ()}

    def describe(self, tags: Mapping[str, str]) -> Iterator[str]:
        """Give the experiment these tags, as far as it has none of their names; yields why one is refused."""
        server = self._server
        for key, value in tags.items():
            if key in self._tags or self.is_deleted:
                continue
            about = {"experiment_id": self.id, "key": key, "value": value}
            try:
                server.supports("experiment tags", server.post, "experiments/set-experiment-tag", about)
            except Refused as refused:
                if not refused.is_about_value:
                    raise
                yield refused.reason

    def _find(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._server.get("experiments/get-by-name", experiment_name=self.name)["experiment"]
        except Refused as refused:
            if refused.is_unknown_thing:
                return None
            raise
        return found

    def known(self, run_id: str | None = None) -> dict[str, str]:
        """Return our id → theirs of the runs that are there. What was cut off, and surely is, is removed.

        Args:
            run_id: only this one is asked for, where the server can.
        """
        copies: dict[str, str] = {}
        unfinished: dict[str, Copy] = {}
        for id_, copy in self._search(run_id):
            self._seen.add(id_)
            if copy is not None and copy.is_complete:
                copies[copy.of] = copy.id
                unfinished.pop(copy.id, None)
            elif copy is not None and copy.is_active:
                unfinished[copy.id] = copy
            copies.setdefault(id_, id_)
        for copy in unfinished.values():
            copies.pop(copy.id, None)
            if self._is_abandoned(copy):
                self.remove(copy.id)
            else:
                self._others[copy.of] = copy
        return copies

    def begin(self, run_id: str, about: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
        """Create the copy of a run, and return what the server tells of it.

        Raises Busy where there is another copy by now: of two exports that begin at the same time, each sees the other
        one's, or one of them does.
        """
        if run_id in self._others:
            raise Busy(self._others[run_id])
        marks = {COPYING: run_id, WRITER: mark_of(self._writer)}
        request = {**about, "experiment_id": self.id, "tags": pairs({**tags, **marks})}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                info: dict[str, Any] = self._server.post("runs/create", request, repeats=False)["run"]["info"]
                break
            except Interrupted as cut:
                if attempt == _ATTEMPTS:
                    raise StoreError(f"{cut.message}, {_ATTEMPTS} times") from None
                time.sleep(_BACKOFF * attempt)
                self.remove_own(run_id)
        own = str(info["run_id"])
        for copy in self._newest(run_id):
            if copy.id == own:
                continue
            if self._is_abandoned(copy):
                self.remove(copy.id)
            elif copy.is_complete or copy.is_active:
                self._others[copy.of] = copy
        self._seen.add(own)
        self._begun[run_id] = own
        if run_id in self._others:
            self.remove(own)
            raise Busy(self._others[run_id])
        return info

    def _is_abandoned(self, copy: Copy) -> bool:
        """Whether nobody writes an unfinished copy any more."""
        return copy.is_active and not copy.is_complete and may_go_on(copy.mark, self._writer)

    def remove_own(self, run_id: str) -> None:
        """Remove the unfinished copies of a run that this export has written."""
        if run_id in self._begun:
            self.remove(self._begun.pop(run_id))
        for copy in self._newest(run_id):
            if copy.of == run_id and self._is_abandoned(copy):
                self.remove(copy.id)

    def remove(self, copy: str) -> None:
        """Delete a copy; the server refuses to delete one that is deleted."""
        try:
            self._server.post("runs/delete", {"run_id": copy})
        except Refused as refused:
            if not refused.is_about_value and not refused.is_unknown_thing:
                raise

    def _newest(self, run_id: str) -> list[Copy]:
        """The copies of a run; where the server has no filter, all copies that are new since this export looked."""
        if self._server.dialect.filters_by_tag:
            return [copy for _, copy in self._search(run_id) if copy is not None]
        copies = []
        for id_, copy in self._search(None, max_results=_NEWEST, order_by="created_at DESC"):
            if id_ in self._seen:
                break
            if copy is not None:
                copies.append(copy)
        return copies

    def _search(self, run_id: str | None, **more: Any) -> Iterator[tuple[str, Copy | None]]:
        """Yield the ids of runs there, with what they are a copy of; some twice, the last time as they were last."""
        about: dict[str, Any] = {"experiment_ids": [self.id], "run_view_type": "ALL", **more}
        filters: list[dict[str, Any]] = [{}]
        if run_id is not None and self._server.dialect.filters_by_tag:
            # In the order in which a copy that is finished meanwhile has at least one of them.
            filters = [{"filter": f"tags.`{key}` = '{run_id}'"} for key in (COPYING, TAG)]
        for one in filters:
            for run in self._server.pages("runs/search", "runs", {**about, **one}):
                tags = (run.get("data") or {}).get("tags") or ()
                copy = _copy(run["info"], {str(tag["key"]): str(tag.get("value", "")) for tag in tags})
                yield str(run["info"]["run_id"]), copy

    def finish(self, copy: str, run_id: str) -> None:
        """Mark a copy as complete."""
        server = self._server
        set_tag(server, copy, TAG, run_id)
        self._begun.pop(run_id, None)
        for key in (COPYING, WRITER):
            # They mean nothing beside the other tag. One that is gone is refused.
            with suppress(Refused):
                server.supports("deleting tags", server.post, "runs/delete-tag", {"run_id": copy, "key": key})

    def close(self) -> None:
        """Delete an experiment that is deleted here."""
        if self._experiment.deleted and self._is_new:
            self._server.post("experiments/delete", {"experiment_id": self.id})


def set_tag(server: MlflowServer, run: str, key: str, value: str) -> None:
    """Give a run there a tag. GitLab takes a tag once, and the answer to the first request may have been lost."""
    try:
        server.post("runs/set-tag", {"run_id": run, "key": key, "value": value})
    except Refused as refused:
        if not refused.is_about_value:
            raise
        tags = (server.get("runs/get", run_id=run)["run"].get("data") or {}).get("tags") or ()
        if not any((tag["key"], tag.get("value")) == (key, value) for tag in tags):
            raise refused from None


def mark_of(writer: str) -> str:
    """The mark of an export on what it begins to write now."""
    return f"{writer}/{time.time():.0f}"


def may_go_on(mark: str, writer: str) -> bool:
    """Whether an export may complete or remove what is marked so, and not complete: nobody else writes it any more."""
    own, begun = _read_mark(mark)
    return own == writer or (begun is not None and time.time() - begun > _ABANDONED)


def _read_mark(mark: str) -> tuple[str, float | None]:
    writer, _, begun = mark.partition("/")
    return writer, float(begun) if begun.isdecimal() and len(begun) < 12 else None


def _copy(info: Mapping[str, Any], tags: Mapping[str, str]) -> Copy | None:
    if TAG not in tags and COPYING not in tags:
        return None
    return Copy(
        id=str(info["run_id"]),
        of=tags.get(TAG) or tags.get(COPYING, ""),
        is_complete=TAG in tags,
        is_active=info.get("lifecycle_stage", "active") == "active",
        mark=tags.get(WRITER, ""),
    )
