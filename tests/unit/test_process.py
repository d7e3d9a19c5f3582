"""Real children: their exit codes, signals and costs, and signals that reach us on their way to them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug.capture.process import CommandNotFoundError, NotExecutableError, run_child
from ciplug.errors import UsageError

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and modes")
ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", textwrap.dedent(code), *arguments]


def test_success_and_cost() -> None:
    result = run_child(python("import time; time.sleep(0.05); x = sum(range(300_000))"))
    assert (result.exit_code, result.signal) == (0, None)
    assert 0.05 <= result.wall_seconds < 20
    if sys.platform != "win32":
        assert 0 < (result.cpu_seconds or 0) < 20


@posix
def test_peak_memory_is_that_of_the_child_and_its_children() -> None:
    """Of a small process: what pytest has grown to would count for the child."""
    driver = """
        import sys
        from ciplug.capture.process import run_child
        print(run_child(sys.argv[1:]).peak_memory_bytes)
    """
    grandchild = python("x = bytearray(400_000_000)")
    done = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(driver)),
            *python("import subprocess, sys; subprocess.run(sys.argv[1:])", *grandchild),
        ],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert 400_000_000 <= int(done.stdout) < 800_000_000


@pytest.mark.parametrize("code", [1, 3, 255])
def test_exit_code(code: int) -> None:
    assert run_child(python(f"raise SystemExit({code})")).exit_code == code


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGKILL", 137), ("SIGTERM", 143), ("SIGSEGV", 139)])
def test_death_by_signal(name: str, code: int) -> None:
    result = run_child(python(f"import os, signal; os.kill(os.getpid(), signal.{name})"))
    assert (result.exit_code, result.signal) == (code, name)


def test_environment_and_working_directory(tmp_path: Path) -> None:
    code = "import os; open('out', 'w').write(os.environ['GREETING'])"
    run_child(python(code), env={**os.environ, "GREETING": "hello"}, cwd=tmp_path)
    assert (tmp_path / "out").read_text() == "hello"


def test_streams_pass_through_byte_for_byte() -> None:
    """Through a second interpreter, since pytest has taken the streams of this one."""
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.buffer.write(b'\\xff\\r')"
    driver = f"""
        import sys
        from ciplug.capture.process import run_child
        print("before")
        run_child([sys.executable, "-S", "-c", {echo!r}])
        print("after")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(driver)],
        input=b"\x00\xfe\n\r",
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    end = os.linesep.encode()
    assert done.stdout == b"before" + end + b"\x00\xfe\n\r" + b"after" + end
    assert done.stderr == b"\xff\r"


class TestCannotStart:
    def test_not_found(self) -> None:
        with pytest.raises(CommandNotFoundError, match="no-such-program") as caught:
            run_child(["no-such-program", "--flag"])
        assert caught.value.exit_code == 127
        assert isinstance(caught.value, UsageError)

    def test_a_shell_line_in_one_word_gets_a_hint(self) -> None:
        with pytest.raises(CommandNotFoundError) as caught:
            run_child(["python train.py"])
        assert "sh -c" in str(caught.value.hint)

    @posix
    def test_not_executable(self, tmp_path: Path) -> None:
        script = tmp_path / "train.sh"
        script.write_text("exit 0\n")
        for mode, content in ((0o644, "exit 0\n"), (0o755, "\x00\x01"), (0o755, "#!/no/such/interpreter\n")):
            script.write_text(content)
            script.chmod(mode)
            with pytest.raises(NotExecutableError, match=re.escape(str(script))) as caught:
                run_child([str(script)])
            assert caught.value.exit_code == 126
            assert caught.value.hint

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            run_child([str(tmp_path)])

    @pytest.mark.parametrize("argv", [[], [""]])
    def test_nothing(self, argv: list[str]) -> None:
        with pytest.raises(UsageError, match="no command"):
            run_child(argv)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="working directory"):
            run_child(python("pass"), cwd=tmp_path / "gone")


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run_child(python("pass"))
    with pytest.raises(CommandNotFoundError):
        run_child(["no-such-program"])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_works_in_another_thread() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(run_child(python("raise SystemExit(4)"))))
    thread.start()
    thread.join()
    assert results[0].exit_code == 4


DRIVER = """
    import json, sys
    from ciplug.capture.process import run_child
    result = run_child(sys.argv[1:])
    print(json.dumps([result.exit_code, result.signal]))
"""
CHILD = """
    import os, signal, sys, time
    got = []
    def handler(number, frame):
        got.append(signal.Signals(number).name)
        os.write(1, (got[-1] + "\\n").encode())  # print may be interrupted in itself
        if len(got) == int(sys.argv[1]):
            sys.exit(7)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), handler)
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
"""


@posix
class TestSignals:
    @pytest.fixture(autouse=True)
    def _as_started_by_a_terminal(self) -> Iterator[None]:
        """A suite that runs under nohup or in the background has signals ignored, and children would inherit that."""
        usual = {
            signal.SIGINT: signal.default_int_handler,
            signal.SIGTERM: signal.SIG_DFL,
            signal.SIGHUP: signal.SIG_DFL,
        }
        before = {number: signal.signal(number, handler) for number, handler in usual.items()}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    def start(self, *child: str, own_session: bool = True) -> subprocess.Popen[str]:
        driver = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(DRIVER), *child],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=own_session,
        )
        assert driver.stdout is not None
        if "ready" in child[3]:
            assert driver.stdout.readline() == "ready\n"
        return driver

    def rest(self, driver: subprocess.Popen[str]) -> str:
        """What it says to its end. `communicate` with a timeout would miss what came along with the last line read."""
        assert driver.stdout is not None
        with driver:
            return driver.stdout.read()

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_are_forwarded_as_often_as_they_come(self, name: str) -> None:
        driver = self.start(*python(CHILD, "2"))
        assert driver.stdout is not None
        for _ in range(2):
            os.kill(driver.pid, getattr(signal, name))
            assert driver.stdout.readline() == f"{name}\n"
        assert self.rest(driver) == "[7, null]\n"
        assert driver.returncode == 0

    def test_a_child_that_dies_of_it_is_still_recorded(self) -> None:
        driver = self.start(*python("import time; print('ready', flush=True); time.sleep(60)"))
        os.kill(driver.pid, signal.SIGTERM)
        assert self.rest(driver) == '[143, "SIGTERM"]\n'

    def test_an_ignored_signal_stays_ignored(self) -> None:
        """nohup ciplug run -- …: the hang-up ends neither of us."""
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            driver = self.start(*python("import time; print('ready', flush=True); time.sleep(0.3)"))
        finally:
            signal.signal(signal.SIGHUP, before)
        os.kill(driver.pid, signal.SIGHUP)
        assert self.rest(driver) == "[0, null]\n"

    def test_a_terminal_interrupts_the_child_once(self) -> None:
        """^C on a terminal reaches the whole foreground; a second copy from us would break the clean-up."""
        import pty

        pid, terminal = pty.fork()
        if pid == 0:  # pragma: no cover (the child process)
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(DRIVER), *python(CHILD, "2")])
        seen = self.read_until(terminal, "ready")
        os.write(terminal, b"\x03")
        seen += self.read_until(terminal, "SIGINT")
        time.sleep(0.3)
        os.write(terminal, b"\x03")
        seen += self.read_until(terminal, "null]")
        os.waitpid(pid, 0)
        os.close(terminal)
        assert seen.count("SIGINT") == 2
        assert "[7, null]" in seen

    def read_until(self, terminal: int, word: str) -> str:
        seen = ""
        while word not in seen:
            seen += os.read(terminal, 1000).decode()
        return seen
