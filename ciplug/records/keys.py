"""The grammar of keys. No other module builds or parses a key.

    runs/<commit>-<run>.json                     the record of a run; beside it
    runs/<commit>-<run>.series                   its step series,
    runs/<commit>-<run>.examples                 the examples of its evaluation, and
    runs/<commit>-<run>.inputs                   schemas and profiles of its inputs
    amend/<commit>-<run>-<seq>-<digest>.json     what changed about a run after it was recorded; beside it
    amend/<commit>-<run>-<seq>-<digest>.series   step series that were logged late, and
    amend/<commit>-<run>-<seq>-<digest>.inputs   schemas and profiles of inputs that were
    verdicts/<commit>-<run>-<digest>.json        one judgement of a run
    <any of these>.sig                           the signature of an object, and of those beside it
    aside/<digest>.json                          an object that could not be read, with the key that it had
    registry/<model>/<seq>.json                  one event of a model's log
    erased/<seq>.json                            marks of runs that were erased, a log

The commit comes first, so that everything about a commit is found without listing the store; a run without a commit
has `none` there. `<digest>` is the beginning of the sha256 of the object's bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from ciplug.records.canonical import NO_COMMIT, digest, dumps

if TYPE_CHECKING:
    from ciplug.records.amendment import Amendment
    from ciplug.records.run import Run
    from ciplug.records.verdict import Verdict

RUNS, AMENDMENTS, VERDICTS, ASIDE, REGISTRY = "runs", "amend", "verdicts", "aside", "registry"
"""The first folders of all keys."""
EVERY_RUN = f"{RUNS}/"
"""The prefix of all keys of runs and of the objects beside them."""
EVERY_AMENDMENT = f"{AMENDMENTS}/"
"""The prefix of all keys of amendments."""
EVERY_VERDICT = f"{VERDICTS}/"
"""The prefix of all keys of verdicts."""
EVERY_LOG = f"{REGISTRY}/"
"""The prefix of the names of all logs of the registry."""
RECORD, SERIES, EXAMPLES, INPUTS, SIGNATURE = ".json", ".series", ".examples", ".inputs", ".sig"
_OF_A_RUN = AMENDMENTS + r"/(?P<commit>[^-/]+)-(?P<run>[^-/]+)-"
_AMENDMENT = re.compile(_OF_A_RUN + r"(?P<seq>[1-9][0-9]{0,14})-(?P<digest>[0-9a-f]{8})")
_AMONG_AMENDMENTS = re.compile(_OF_A_RUN)
_WITHOUT_RECORD = re.compile("e[0-9]{1,18}|m[0-9a-f]{32}")
_ENTRY = re.compile(r"(?P<log>.+)/(?P<seq>\d{6,12})\.json")
# It becomes an argument of git.
_COMMIT = re.compile("[0-9a-f]{7,64}")


class RunKey(NamedTuple):
    """The identity of a run, from which all its keys follow."""

    commit: str | None
    id: str

    @property
    def _name(self) -> str:
        return f"{self.commit or NO_COMMIT}-{self.id}"

    @property
    def key(self) -> str:
        """The key of the run's record."""
        return f"{RUNS}/{self._name}{RECORD}"

    @property
    def series(self) -> str:
        return f"{RUNS}/{self._name}{SERIES}"

    @property
    def examples(self) -> str:
        return f"{RUNS}/{self._name}{EXAMPLES}"

    @property
    def inputs(self) -> str:
        return f"{RUNS}/{self._name}{INPUTS}"

    @property
    def amendments(self) -> str:
        """The prefix of the keys of its amendments."""
        return f"{AMENDMENTS}/{self._name}-"

    @property
    def verdicts(self) -> str:
        """The prefix of the keys of its verdicts."""
        return f"{VERDICTS}/{self._name}-"

    @property
    def everything(self) -> tuple[str, ...]:
        """The prefixes of the keys of all objects about the run."""
        return f"{RUNS}/{self._name}.", self.amendments, self.verdicts


class AmendmentKey(NamedTuple):
    """The identity of an amendment."""

    commit: str | None
    run: str
    seq: int
    digest: str
    """The first 8 hex digits of the sha256 of its content."""

    @property
    def key(self) -> str:
        """The key of the amendment's record."""
        return f"{AMENDMENTS}/{self._name}{RECORD}"

    @property
    def series(self) -> str:
        return f"{AMENDMENTS}/{self._name}{SERIES}"

    @property
    def inputs(self) -> str:
        return f"{AMENDMENTS}/{self._name}{INPUTS}"

    @property
    def run_key(self) -> RunKey:
        return RunKey(self.commit, self.run)

    @property
    def order(self) -> tuple[int, str]:
        """All readers fold the amendments of a run by this, the lowest first."""
        return self.seq, self.digest

    @property
    def _name(self) -> str:
        return f"{self.commit or NO_COMMIT}-{self.run}-{self.seq}-{self.digest}"


class EntryKey(NamedTuple):
    """The identity of a log entry."""

    log: str
    seq: int

    @property
    def key(self) -> str:
        return f"{self.log}/{self.seq:06d}{RECORD}"


# Runs


def run_key(run: Run) -> RunKey:
    return RunKey(run.commit, run.id)


def is_run(key: str) -> bool:
    """Whether a key is that of a run's record."""
    return key.startswith(EVERY_RUN) and key.endswith(RECORD)


def parse_run(key: str) -> RunKey | None:
    """Return the run whose record has this key; None for any other key."""
    return _run_of(key, RECORD)


def parse_runs(keys: Iterable[str]) -> list[RunKey]:
    """Those of the keys that are of the record of a run."""
    return [run for key in keys if (run := parse_run(key)) is not None]


def parse_series(key: str) -> RunKey | None:
    """Return the run whose step series have this key; None for any other key."""
    return _run_of(key, SERIES)


def parse_examples(key: str) -> RunKey | None:
    """Return the run whose examples have this key; None for any other key."""
    return _run_of(key, EXAMPLES)


def parse_inputs(key: str) -> RunKey | None:
    """Return the run whose schemas and profiles have this key; None for any other key."""
    return _run_of(key, INPUTS)


def parse_beside(key: str) -> RunKey | None:
    """Return the run whose series, examples or inputs have this key; None for any other key."""
    return parse_series(key) or parse_examples(key) or parse_inputs(key)


def _run_of(key: str, ending: str) -> RunKey | None:
    if not (key.startswith(EVERY_RUN) and key.endswith(ending)):
        return None
    commit, dash, run_id = key[len(EVERY_RUN) : -len(ending)].rpartition("-")
    return RunKey(_commit(commit), run_id) if dash else None


def _commit(text: str) -> str | None:
    return None if text == NO_COMMIT else text


def runs_on(commit: str | None) -> str:
    """Return the prefix of the keys of the runs on a commit and of the objects beside them."""
    return f"{RUNS}/{commit or NO_COMMIT}-"


def misplaced(key: str, commit: str | None, run_id: str) -> str | None:
    """Return why a record of this run and commit cannot have the key; None if it can."""
    if key != RunKey(commit, run_id).key:
        return f"{key}: it holds the run '{run_id}' of commit '{commit}'"
    if commit and not _COMMIT.fullmatch(commit):
        return f"{key}: commit: '{commit}' is not a commit id"
    return None


# Amendments


def amendment_object(amendment: Amendment) -> tuple[AmendmentKey, bytes]:
    """Return the key and the content of an amendment."""
    data = dumps(amendment)
    return amendment_key(amendment, data), data


def amendment_key(amendment: Amendment, data: bytes) -> AmendmentKey:
    return AmendmentKey(amendment.commit, amendment.run, amendment.seq, digest(data)[7:15])


def parse_amendment(key: str) -> AmendmentKey | None:
    """Return the amendment whose record has this key; None for any other key."""
    return _amendment_of(key, RECORD)


def parse_amendments(keys: Iterable[str]) -> list[AmendmentKey]:
    """Those of the keys that are of the record of an amendment, in the order in which they are folded."""
    parsed = (amendment for key in keys if (amendment := parse_amendment(key)) is not None)
    return sorted(parsed, key=lambda amendment: (*amendment.order, amendment.key))


def parse_late_series(key: str) -> AmendmentKey | None:
    """Return the amendment whose step series have this key; None for any other key."""
    return _amendment_of(key, SERIES)


def parse_late_inputs(key: str) -> AmendmentKey | None:
    """Return the amendment whose schemas and profiles have this key; None for any other key."""
    return _amendment_of(key, INPUTS)


def parse_amendment_signature(key: str) -> AmendmentKey | None:
    """Return the amendment whose signature has this key; None for any other key."""
    return _amendment_of(key, SIGNATURE)


def _amendment_of(key: str, ending: str) -> AmendmentKey | None:
    match = _AMENDMENT.fullmatch(key.removesuffix(ending)) if key.endswith(ending) else None
    return match and AmendmentKey(_commit(match["commit"]), match["run"], int(match["seq"]), match["digest"])


def amended_run(key: str) -> RunKey | None:
    """Return the run that the object with this key amends, or could amend; None for any other key.

    What stands beside an amendment is such a key: late series, schemas and profiles.

    A key among the amendments of a run that is not in the grammar counts: what the object says is not known.
    """
    match = _AMONG_AMENDMENTS.match(key)
    beside = parse_late_series(key) or parse_late_inputs(key) or parse_amendment_signature(key)
    return RunKey(_commit(match["commit"]), match["run"]) if match and not beside else None


def is_described(run: RunKey) -> bool:
    """Whether this is an experiment (e…) or a logged model (m…) of MLflow, which amendments alone describe."""
    return run.commit is None and _WITHOUT_RECORD.fullmatch(run.id) is not None


def amendments_on(commit: str | None) -> str:
    """Return the prefix of the keys of the amendments of all runs on a commit."""
    return f"{AMENDMENTS}/{commit or NO_COMMIT}-"


# Verdicts


def verdict_object(verdict: Verdict) -> tuple[str, bytes]:
    """Return the key and the content of a verdict."""
    data = dumps(verdict)
    return verdict_key(verdict, data), data


def verdict_key(verdict: Verdict, data: bytes) -> str:
    return f"{RunKey(verdict.commit, verdict.run).verdicts}{digest(data)[7:19]}{RECORD}"


def is_verdict(key: str) -> bool:
    """Whether a key is that of a verdict."""
    return key.startswith(f"{VERDICTS}/") and key.endswith(RECORD)


def verdicts_on(commit: str | None) -> str:
    """Return the prefix of the keys of the verdicts on all runs of a commit."""
    return f"{VERDICTS}/{commit or NO_COMMIT}-"


# What was erased

ERASED = "erased"
"""The log with the marks of erased runs."""
_ABOUT_A_RUN = re.compile(rf"(?:{RUNS}|{AMENDMENTS}|{VERDICTS})/([^-/]+-[^-./]+)[-.]")


def erased_mark(key: str) -> str | None:
    """Return what stands for the run that a key is about, once it was erased, and says nothing of it; None for another
    key. An id is random, so nobody finds it by its mark.
    """
    match = _ABOUT_A_RUN.match(key)
    return hashlib.sha256(match[1].encode()).hexdigest()[:32] if match else None


# What was set aside


def aside_key(data: bytes) -> str:
    """Return the key of an object that holds another one, which could not be read."""
    return f"{ASIDE}/{digest(data)[7:39]}{RECORD}"


# Logs


def log_of(model: str) -> str:
    """Return the name of the log with the events of a model."""
    name = quote(model, safe=" ")
    return f"{REGISTRY}/{name.replace('.', '%2E') if name.strip('.') == '' else name}"


def model_of(log: str) -> str:
    """Return the model whose events are in this log of the registry."""
    return unquote(log.removeprefix(EVERY_LOG))


def parse_entry(key: str) -> EntryKey | None:
    """Return the log entry that has this key; None for a key outside the logs."""
    match = _ENTRY.fullmatch(key)
    return match and EntryKey(match["log"], int(match["seq"]))


# Any of them

_OBJECT = re.compile(
    rf"(?:{RUNS}|{AMENDMENTS}|{VERDICTS})/[^/]{{1,250}}\.(?:json|series|examples|inputs|sig)|{ASIDE}/[^/]{{1,250}}\.json"
)


def is_object(key: str) -> bool:
    """Whether a key has the form of one of those above that is not in a log: no writer of ours has made another."""
    return _OBJECT.fullmatch(key) is not None


def is_run_record(key: str) -> bool:
    """Whether a key is of a record itself, or of a signature, and not of what may be large beside it."""
    return key.endswith((RECORD, SIGNATURE))


# Objects that belong together


def stem_of(key: str) -> str:
    """Return a key without its ending: the same for a record and for the objects beside it."""
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(".")[0]


def signature_key(key: str) -> str:
    """Return the key of the signature of an object, and of those beside it."""
    return stem_of(key) + SIGNATURE


def record_beside(key: str) -> str:
    """Return the key of the record that an object belongs to; for a record, its own key."""
    return stem_of(key) + RECORD
