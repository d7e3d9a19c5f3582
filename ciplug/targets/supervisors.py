"""What keeps a server running on this machine: systemd, as a unit of this user, Docker Compose, or a process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ciplug.errors import Cause, TargetError
from ciplug.locking import write_atomically

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""The variables of a job that a server gets: no token of the job is among them."""
_PATIENCE = 20.0
"""Seconds that a server has to end itself."""


@dataclass(frozen=True)
class Server:
    """A server to keep running."""

    name: str
    """Of its unit."""
    folder: Path
    """Where its log and its pid are kept, and its working directory."""
    command: Sequence[str]
    image: str | None = None
    """Of its container."""
    volumes: Sequence[str] = ()
    """Folders of this machine that the container sees under the same paths; those that begin with `ro:` cannot be
    written there."""


class Supervisor(Protocol):
    def start(self, server: Server) -> None: ...

    def stop(self, server: Server) -> None:
        """Stop it, and return when it has ended. One that does not run is no error."""

    def runs(self, server: Server) -> bool: ...


def supervisor(name: str, env: Mapping[str, str]) -> Supervisor:
    kinds: Mapping[str, type[Systemd | Compose | Process]] = {"systemd": Systemd, "compose": Compose}
    return kinds.get(name, Process)(env)


def default_supervisor(env: Mapping[str, str]) -> str:
    return "systemd" if Path("/run/systemd/system").is_dir() and env.get("XDG_RUNTIME_DIR") else "process"


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """What a server gets of the environment of the job."""
    return {name: env[name] for name in _KEPT if name in env}


class Process:
    """A process that outlives the job. Nothing starts it again: not when it ends, and not with the machine."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def start(self, server: Server) -> None:
        need_program(server, self._env)
        with (server.folder / "server.log").open("ab") as out:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WRITE_PID, "sh", *server.command],
                cwd=server.folder,
                env=environment(self._env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        while process.poll() is None and not (server.folder / "pid").exists():
            time.sleep(0.01)
        # It is meant to outlive this process: nobody waits for it.
        process.returncode = process.returncode or 0

    def stop(self, server: Server) -> None:
        pid = self._pid(server)
        if pid is None:
            return
        for number, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, _PATIENCE)):
            _signal_group(pid, number)
            until = time.monotonic() + patience
            while self._pid(server) is not None and time.monotonic() < until:
                time.sleep(0.05)
            if self._pid(server) is None:
                # Its children may need longer than itself.
                _signal_group(pid, signal.SIGKILL)
                (server.folder / "pid").unlink(missing_ok=True)
                return
        raise TargetError(f"process {pid} of {server.folder} does not end")

    def runs(self, server: Server) -> bool:
        return self._pid(server) is not None

    def _pid(self, server: Server) -> int | None:
        """The process that was started, if it still runs: another one may have its number by now."""
        try:
            number, *stat = (server.folder / "pid").read_text().split()
            pid = int(number)
        except (OSError, ValueError):
            return None
        now = _stat(pid)
        if not stat:  # A system without /proc.
            return pid if _exists(pid) else None
        return pid if now and now[_BORN] == stat[_BORN] and not _is_ended(pid, now) else None


_WRITE_PID = 'IFS= read -r line < /proc/$$/stat; echo "$$ ${line##*) }" > pid.part && mv pid.part pid && exec "$@"'
"""The process writes its own number, and when it was born: whoever started it may be killed at any time."""
_BORN = 19
"""The place of the time of birth in what Linux says of a process, from its state on."""


def need_program(server: Server, env: Mapping[str, str]) -> str:
    """The path of the server's program. Raises TargetError where this machine does not have it."""
    program = shutil.which(server.command[0], path=env.get("PATH"))
    if program is None:
        raise TargetError(
            f"the server command cannot be started: {server.command[0]} is not installed",
            hint="install it on this machine, or change serve: in ciplug.yaml",
        )
    return program


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _is_ended(pid: int, stat: Sequence[str]) -> bool:
    """Whether the process has ended, and only waits for its parent to ask."""
    try:
        # Where it is a child of this process, this is the parent.
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return True
    except ChildProcessError:
        pass
    return stat[0] in ("Z", "X")


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Systemd:
    """A unit of systemd for this user: it starts again when it ends, and with the machine where the user lingers."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        home = Path(env.get("HOME") or Path.home())
        self._units = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "systemd" / "user"

    def start(self, server: Server) -> None:
        program = need_program(server, self._env)
        self._units.mkdir(parents=True, exist_ok=True)
        unit = unit_text(server, [program, *server.command[1:]], environment(self._env))
        write_atomically(self._units / f"{server.name}.service", unit.encode())
        self._systemctl("daemon-reload")
        self._systemctl("enable", f"{server.name}.service")
        self._systemctl("restart", f"{server.name}.service")

    def stop(self, server: Server) -> None:
        file = self._units / f"{server.name}.service"
        if file.exists():
            self._systemctl("disable", "--now", file.name)
            file.unlink(missing_ok=True)
            self._systemctl("daemon-reload")

    def runs(self, server: Server) -> bool:
        return self._call("is-active", "--quiet", f"{server.name}.service").returncode == 0

    def _systemctl(self, *words: str) -> None:
        done = self._call(*words)
        if done.returncode:
            said = "".join(c for c in done.stderr.strip() if c.isprintable())[:300]
            raise TargetError(f"systemctl --user {shlex.join(words)}: {said or f'exit code {done.returncode}'}",
                              hint="see whether systemd runs for this user: systemctl --user status; or set "
                              "supervisor: process")  # fmt: skip

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", "--user", *words],
                env=dict(self._env),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise TargetError(f"systemctl cannot be called: {problem}", cause=Cause.UNSUPPORTED) from None


def unit_text(server: Server, command: Sequence[str], env: Mapping[str, str]) -> str:
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in env.items())
    return (
        f"[Unit]\nDescription=ciplug: {server.name}\n\n"
        f"[Service]\nWorkingDirectory={str(server.folder).replace('%', '%%')}\n{variables}"
        f"ExecStart={' '.join(_quoted(word, dollars=True) for word in command)}\nRestart=always\nRestartSec=2\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def _quoted(word: str, *, dollars: bool = False) -> str:
    """A word as systemd reads it: % and, in commands, $ mean something to it."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{text.replace("$", "$$") if dollars else text}"'


class Compose:
    """A project of Docker Compose with one service: the container starts again when it ends, and with the machine."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def start(self, server: Server) -> None:
        write_atomically(_compose_file(server), compose_text(server).encode())
        done = self._call(server, "up", "--detach", "--force-recreate", "--remove-orphans")
        if done.returncode:
            said = " ".join("".join(c for c in done.stderr if c.isprintable() or c.isspace()).split())[-300:]
            raise TargetError(
                f"docker compose up: {said or f'exit code {done.returncode}'}",
                hint=f"try it on this machine: docker compose --file {shlex.quote(str(_compose_file(server)))} up",
            )

    def stop(self, server: Server) -> None:
        if not _compose_file(server).exists():
            return
        said = self._call(server, "logs", "--no-color", "--no-log-prefix", "--tail", "200").stdout
        (server.folder / "server.log").write_text(said)
        done = self._call(server, "down", "--timeout", str(int(_PATIENCE)))
        if done.returncode:
            raise TargetError(f"docker compose down of {server.name}: exit code {done.returncode}")
        _compose_file(server).unlink()

    def runs(self, server: Server) -> bool:
        if not _compose_file(server).exists():
            return False
        done = self._call(server, "ps", "--quiet", "--status", "running")
        return done.returncode == 0 and bool(done.stdout.strip())

    def _call(self, server: Server, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "compose", "--project-name", server.name, "--file", str(_compose_file(server)), *words]
        try:
            return subprocess.run(
                command, env=dict(self._env), capture_output=True, text=True, errors="replace", timeout=600
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise TargetError(
                f"docker cannot be called: {problem}",
                hint="install Docker with its plugin compose, or set supervisor: process",
                cause=Cause.UNSUPPORTED,
            ) from None


def _compose_file(server: Server) -> Path:
    return server.folder / "compose.yaml"


def compose_text(server: Server) -> str:
    """The compose file of a server. JSON is YAML, and needs no quoting rules; `$` means a variable to Compose."""
    volumes = []
    for one in server.volumes:
        path = one.removeprefix("ro:")
        volumes.append({"type": "bind", "source": path, "target": path, "read_only": path != one})
    service = {
        "image": server.image,
        "entrypoint": list(server.command[:1]),
        "command": list(server.command[1:]),
        # The server listens on 127.0.0.1 of this machine, as without a container.
        "network_mode": "host",
        "restart": "unless-stopped",
        "volumes": volumes,
    }
    return json.dumps({"name": server.name, "services": {"server": service}}, indent=2).replace("$", "$$") + "\n"
