"""Every reader of bytes that others have written: an answer or an error of ours, soon, and in little memory."""

from __future__ import annotations

import contextlib
import io
import random
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest

from ciplug import config
from ciplug.bundles import archive
from ciplug.bundles import check as collected
from ciplug.capture.example_files import read_examples
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.param_files import read_params
from ciplug.errors import CiplugError
from ciplug.git.lfs import parse_pointer
from ciplug.git.objects import parse_tree
from ciplug.records import bundle, columns, examples, inputs, read, series
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.keys import amendment_object
from ciplug.stores.bucket import index
from ciplug.stores.git import segments
from tests.bundles import a_run, objects_of
from tests.registry_samples import EVENTS

SECONDS_MOST, MEGABYTES_MOST = 5.0, 300
PIECES = [
    *(b"null", b"NaN", b"-Infinity", b"1e400", b"1" * 400, b'"x"', b"[]", b"{}", b"[" * 40, b"true", b"", b",", b"\n"),
    *(b'"', b"\\", b"{", b"}", b"]", b":", b"\x00", b"\xff\xfe", b"\xe2\x80\xae", b"::error::", b"\x1b[31m", b"../"),
    *(b"a.b." * 50, b"- " * 50, b"&a [*a,*a]", b"<<: *a", b"!!python/object:os.system", b"0x1f", b"9" * 5000),
]
BIG = [
    b"[]," * 700_000, b"[" * 300_000, b"{\"a\":" * 100_000, b"a." * 200_000, b"," * 1_000_000, b"\n" * 1_000_000,
    b'"a":1,' * 200_000, b"- a\n" * 200_000, b"a: {b: 1}\n" * 60_000, b"1" * 1_000_000,
    b"'" * 500_000, b"\x00" * 500_000,
]  # fmt: skip
"""What takes a parser minutes or gigabytes, alone and within a file."""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 3\n"
Reader = Callable[[bytes], object]


class Readers:
    """Name of a kind of bytes → samples of it, and who reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        run = a_run()
        objects = objects_of(run)
        (record,) = (key for key in objects if key.startswith("runs/") and key.endswith(".json"))
        (steps,) = (key for key in objects if key.endswith(".series"))
        (verdict,) = (key for key in objects if key.startswith("verdicts/"))
        amendment, amended = amendment_object(
            Amendment(run=run.id, model=run.model, commit=run.commit, seq=1, created=run.started, tags={"a": "b"})
        )
        of_examples = examples.encode(
            examples.Examples(source="a.csv", ids=("1", "2"), scores={"correct": (1.0, 0.0)}, slices={"by": ("x", "y")})
        )
        lines = segments.write_lines({record: objects[record]}, {"series/a": "0" * 40})
        tree = b"".join(b"100644 " + name + b"\0" + bytes(20) for name in (b"a", b"b.json"))
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("bundle.ndjson", bundle.pack(objects))
        claim = index.Claim(files=("a/b",), drop=("runs/a.json",), delete=(), reason="x")
        self.kinds: Mapping[str, tuple[bytes, Reader]] = {
            "run": (objects[record], lambda data: read.read_run(data, record)),
            "verdict": (objects[verdict], lambda data: read.verdict_on(run, data, verdict)),
            "amendment": (amended, lambda data: read.amendment(data, amendment.key)),
            "event": (dumps(EVENTS[1]), lambda data: read.registry_event(data, "registry/wine/000002.json")),
            "series": (objects[steps], series.decode),
            "examples": (of_examples, examples.decode),
            "inputs": (inputs.encode_texts(['{"columns": []}']), lambda data: inputs.decode_texts(data, "inputs/a")),
            "columns": (columns.encode(columns.of(objects.items())), lambda data: columns.decode(data, "columns")),
            "column of a record": (objects[record], lambda data: columns.of([(record, data)])),
            "segment": (lines, lambda data: segments.read_lines(data, "segment")),
            "segment index": (segments.write_index({"a": b"0123"}), segments.read_index),
            "tree": (tree, lambda data: parse_tree(data, "sha1")),
            "claim": (index.encode_claim(claim), lambda data: index.decode_claim(data, "claim")),
            "bundle": (bundle.pack(objects), _collected),
            "archive": (zipped.getvalue(), _unzipped),
            "pointer": (POINTER, parse_pointer),
            "config": (
                b"version: 1\nmodel: wine\ngates:\n  accuracy: {min: 0.8, max_regression: 1%}\nstages: {staging: {}}\n",
                lambda data: config.parse(data.decode(), Path("ciplug.yaml")),
            ),
            **{
                f"metrics.{extension}": (data, self._file(extension, read_metrics))
                for extension, data in {
                    "json": b'{"loss": 0.5, "val": {"acc": [0.1, 0.2]}}',
                    "yaml": b"loss: 0.5\nval:\n  acc: 0.2\n",
                    "toml": b"loss = 0.5\n[val]\nacc = 0.2\n",
                    "csv": b"step,loss\n1,0.5\n2,0.25\n",
                    "jsonl": b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n',
                }.items()
            },
            "params.toml": (b"lr = 0.1\nlayers.a.b = 3\n", self._file("toml", read_params)),
            "examples.csv": (b"id,score\n1,0.5\n2,0.25\n", self._file("csv", read_examples)),
        }  # fmt: skip

    def _file(self, extension: str, reader: Callable[[Path], object]) -> Reader:
        path = self.folder / f"fuzzed.{extension}"

        def one(data: bytes) -> object:
            path.write_bytes(data)
            return reader(path)

        return one


def _collected(data: bytes) -> object:
    objects = bundle.unpack(data, "bundle.ndjson")
    collected.check(objects, "bundle.ndjson", trusted=False)
    return objects


def _unzipped(data: bytes) -> object:
    return list(archive.files(data, "bundles.zip", lambda name: name.endswith(".ndjson")))


def damaged(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randint(0, len(data)) for _ in range(2))
        end = min(end, at + chance.choice((1, 4, 30)))
        kind = chance.randrange(5)
        if kind == 0:
            data = data[:at] + chance.choice(PIECES) + data[end:]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:at] + data[at:end] * chance.choice((2, 2, 50)) + data[end:]
        elif kind == 3:
            data = data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at + 1 :]
        else:
            numbers = struct.pack("<I", chance.choice((0, 1, 2**31, 2**32 - 1)))
            data = data[:at] + numbers + data[at + 4 :]
    return data


def answer(name: str, reader: Reader, data: bytes) -> float:
    """Seconds of work until the reader had an answer, or refused the bytes by an error of ours."""
    began = time.process_time()
    try:
        reader(data)
    except CiplugError as refused:
        assert len(refused.message) < 20_000, name
    except (ValueError, KeyError) as problem:
        # Of these, the callers make an error of the store.
        assert name in ("tree", "segment index", "config") and not isinstance(problem, RecursionError), (name, problem)
    return time.process_time() - began


def memory() -> int:
    """The peak in MB, of this program alone: `ru_maxrss` begins with that of the process which started it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


def fuzzed(folder: Path, count: int, seed: int) -> tuple[float, str]:
    readers, chance = Readers(folder), random.Random(seed)
    names = list(readers.kinds)
    slowest = (0.0, "")
    for number in range(count):
        name = names[number % len(names)]
        sample, reader = readers.kinds[name]
        data = damaged(sample, chance)
        try:
            slowest = max(slowest, (answer(name, reader, data), name))
        except Exception as problem:
            raise AssertionError(f"{name}: {type(problem).__name__}: {problem}: {data[:2000]!r}") from problem
    return slowest


def test_a_sample_of_damaged_bytes(tmp_path: Path) -> None:
    assert fuzzed(tmp_path, 2_000, 1)[0] < SECONDS_MOST


@pytest.mark.slow
def test_what_takes_a_parser_minutes_or_gigabytes(tmp_path: Path) -> None:
    """A few readers; each flood alone, and in the middle of a sample, in one process that may not grow."""
    assert _in_a_process(tmp_path, "run,params.toml,config") == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(Readers(Path()).kinds))
def test_floods_for_each_reader(tmp_path: Path, kind: str) -> None:
    assert _in_a_process(tmp_path, kind) == ""


@pytest.mark.slow
def test_50_000_damaged_inputs(tmp_path: Path) -> None:
    assert _in_a_process(tmp_path, "50000") == ""


def _in_a_process(folder: Path, work: str) -> str:
    import subprocess

    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.attacks.test_fuzzed_readers", str(folder), work]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr[-3000:]


def floods(folder: Path, names: Collection[str]) -> None:
    readers = Readers(folder)
    for name in names:
        sample, reader = readers.kinds[name]
        middle = len(sample) // 2
        for flood in BIG:
            for data in (flood, sample[:middle] + flood + sample[middle:]):
                before = memory()
                try:
                    seconds = answer(name, reader, data)
                except Exception as problem:
                    raise AssertionError(f"{name}: {type(problem).__name__}: {problem}: {flood[:12]!r}") from problem
                grown = memory() - before
                if seconds > SECONDS_MOST or memory() > MEGABYTES_MOST:
                    print(f"{name}: {flood[:12]!r}: {seconds:.1f} s, {grown} MB more, {memory()} MB")
                    return


def main(folder: str, work: str) -> None:
    if not work.isdigit():
        floods(Path(folder), work.split(","))
        return
    seconds, name = fuzzed(Path(folder), int(work), 7)
    if seconds > SECONDS_MOST or memory() > MEGABYTES_MOST:
        print(f"{name}: {seconds:.1f} s, {memory()} MB")


if __name__ == "__main__":
    main(*sys.argv[1:3])
