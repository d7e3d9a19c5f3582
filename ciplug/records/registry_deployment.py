"""The event of the registry that says what serves where: one before a target is changed, one after it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

BEGUN, DEPLOYED, FAILED = "deploying", "deployed", "failed"
ENDING, ENDED = "ending", "ended"


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """Deploy a version to a target, or end that. It is served from the event `deployed` to the event `ended`."""

    type: ClassVar[str] = "deploy"

    version: int
    target: str
    """The target's name in ciplug.yaml."""
    kind: str
    """The kind of the target: oci, local, …"""
    state: str
    """deploying: it is about to change the target. deployed: the target serves it. failed: it has ended, and the
    target did not come to serve it. ending: it is about to serve nothing. ended: it serves nothing."""
    stage: str | None = None
    """The stage that the version was in."""
    digest: str | None = None
    """The digest of the version's files, as it was registered."""
    reference: str | None = None
    """What names these very bytes at the target, such as `registry.example.com/team/wine@sha256:…`."""
    endpoint: str | None = None
    """Where the version is reached, such as `http://127.0.0.1:5001`."""
    began: int | None = None
    """The number of the event with the state `deploying` or `ending` that this one ends."""
    reason: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return ()


class Outcome(Enum):
    """What came out of asking a served version for the predictions of a recorded sample: its word in the log."""

    PASSED = "passed"
    """Every answer is the recorded prediction."""
    MISMATCH = "mismatch"
    NO_SAMPLE = "no_sample"
    """There is no recorded sample to ask, or none of its rows has a recorded prediction."""
    NOT_COMPARABLE = "not_comparable"
    """A recorded prediction of the sample is null, NaN or infinite: no answer can be compared with it."""
    NO_ANSWER = "no_answer"
    """The endpoint is silent, or there is no address to ask."""
    REFUSED = "refused"
    """The server refuses the request."""
    UNREADABLE = "unreadable"
    """The answer has no predictions."""
    FEWER_ANSWERS = "fewer_answers"
    MORE_ANSWERS = "more_answers"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")

    @property
    def is_of_the_version(self) -> bool:
        """Whether it says something of the version that is served, and not of the sample alone."""
        return self not in (Outcome.NO_SAMPLE, Outcome.NOT_COMPARABLE)


@dataclass(frozen=True, kw_only=True)
class SmokeTested:
    """Say what a served version answered to a recorded sample."""

    type: ClassVar[str] = "smoke_test"

    version: int
    target: str
    deployed: int
    """The number of the event by which the target serves the version."""
    outcome: str
    """The value of an Outcome."""
    rows: int = 0
    """How many rows were asked for."""
    equal: int = 0
    """How many answers are the recorded predictions."""
    tolerance: float | None = None
    sample: str | None = None
    sample_digest: str | None = None
    endpoint: str | None = None
    reason: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return ()
