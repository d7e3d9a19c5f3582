"""The names of a store's refs, on the remote and in our own repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OUR_TIP = "refs/store/branch"
OUR_INBOX = ("refs/store/inbox/", "refs/store/inbox-heads/")
OUR_KEEP = ("refs/store/keep/", "refs/store/keep-heads/")
OUR_SERIES = "refs/store/series"


@dataclass(frozen=True)
class Refs:
    """The refs of a store on branch `branch`: on the remote, and in our repository, where a fetch puts them."""

    branch: str

    @property
    def tip(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def series(self) -> str:
        return f"refs/heads/{self.branch}-series"

    @property
    def keep(self) -> tuple[str, str]:
        """The last tip that a writer of ours has made; the second where the host refuses the first."""
        return f"refs/{self.branch}/keep/tip", f"refs/heads/{self.branch}-keep/tip"

    @property
    def our_keep(self) -> tuple[str, str]:
        """The same two in our repository."""
        return f"{OUR_KEEP[0]}tip", f"{OUR_KEEP[1]}tip"

    def inbox(self, name: str) -> tuple[str, str]:
        """Return the refs for a write; the second is used if the host refuses the first."""
        return f"refs/{self.branch}/inbox/{name}", f"refs/heads/{self.branch}-inbox/{name}"

    def our_inbox(self, name: str) -> str:
        """The ref for a write in our repository, where the host does not refuse the first of `inbox`."""
        return f"{OUR_INBOX[0]}{name}"

    def trial(self, name: str) -> tuple[str, str]:
        """Return the refs for a test write, which no reader sees; the second is used if the host refuses the first."""
        return f"refs/{self.branch}/trial/{name}", f"refs/heads/{self.branch}-trial/{name}"

    @property
    def written(self) -> tuple[str, ...]:
        """The refs that a fold or an append moves."""
        return self.tip, self.series, self.keep[0]

    @property
    def every(self) -> tuple[str, ...]:
        """One ref of each place in which a writer of ours makes refs; the spare ones are left out."""
        folder = f"refs/{self.branch}/files"
        return *self.written, self.inbox("x")[0], f"{folder}/x"

    def aside(self, ref: str) -> str:
        """Return the ref for something that no writer of ours has pushed to `ref`: no reader sees it."""
        heads = "heads/" if ref.startswith("refs/heads/") else ""
        name = ref.rpartition("/")[2]
        return f"refs/{heads}{self.branch}-aside/{name}" if heads else f"refs/{self.branch}/aside/{name}"

    @property
    def push_hint(self) -> str:
        """Return advice for a host that refuses one of these refs."""
        return (
            f"allow pushes to refs/{self.branch}/* and to the branches '{self.branch}' and '{self.branch}-series' "
            "for the account that this job runs as"
        )

    @property
    def places(self) -> dict[str, str]:
        """Folder of the remote → folder in our repository."""
        return {
            f"refs/{self.branch}/inbox/": "refs/store/inbox/",
            f"refs/heads/{self.branch}-inbox/": "refs/store/inbox-heads/",
            f"refs/{self.branch}/keep/": "refs/store/keep/",
            f"refs/heads/{self.branch}-keep/": "refs/store/keep-heads/",
        }

    @property
    def refspecs(self) -> list[str]:
        return [f"+{theirs}*:{ours}*" for theirs, ours in self.places.items()]

    def ours(self, listed: Mapping[str, str]) -> dict[str, str]:
        """Our ref → object id, of those refs of the remote that a fetch of the store brings."""
        found = {OUR_TIP: listed[self.tip]} if self.tip in listed else {}
        for theirs, own in self.places.items():
            found.update({own + ref.removeprefix(theirs): oid for ref, oid in listed.items() if ref.startswith(theirs)})
        return found

    def remote(self, ours: str) -> str:
        """The remote's name of one of our refs."""
        if ours == OUR_TIP:
            return self.tip
        theirs, own = next((t, o) for t, o in self.places.items() if ours.startswith(o))
        return theirs + ours.removeprefix(own)
