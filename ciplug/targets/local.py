"""A folder of this machine as a target, with a server over the files of the version: one serves while the next starts.

    releases/v3-<digest>/   the files of a version, and release.json, which says what they are
    servers/5001/           a server: server.json, its log, upstream.conf with its address, and `release`, a link
    current                 a link to the server that is served

The link `current` is what is served. It is replaced in one step, once the new server answers, and only then is the one
before stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ciplug.config.targets import LocalTarget
from ciplug.errors import DeploymentRefused, NotDeployed, TargetError
from ciplug.locking import acquire, release, sync_folder, write_atomically
from ciplug.targets.base import Live, Release, what_stays
from ciplug.targets.http_in_time import FAILURES, opener
from ciplug.targets.supervisors import Server, Supervisor, default_supervisor, environment, supervisor

_MLFLOW = "mlflow models serve --model-uri {model} --host 127.0.0.1 --port {port} --env-manager local"
_KEPT = 3
"""Releases that stay in the folder, the newest ones."""
_PAUSE = 0.2
_ANSWER_SECONDS = 5.0
"""A server that does not say within this time that it is ready is asked again."""
_TAIL = 64 * 1024
"""Bytes at the end of a log."""
_WORDS = 200
"""Characters of what a program said at the end."""


class Local:
    """A target of kind `local`."""

    def __init__(self, settings: LocalTarget, env: Mapping[str, str], mask: Callable[[str], str]) -> None:
        self._settings = settings
        self._env = env
        self._mask = mask
        self._folder = Path(settings.folder).expanduser()
        self._current = self._folder / "current"

    def live(self, stage: str) -> Live | None:
        port = self._served_port()
        if port is None:
            return None
        place = self._place_of(port)
        facts = _read_json(place / "server.json")
        files = _digests(place / "release" / "files")
        endpoint = f"http://127.0.0.1:{port}"
        problem = None if self._answers(port) else f"nothing answers at {endpoint}{self._settings.health}"
        if problem is None and self._is_stale(port):
            problem = f"the server at {endpoint} was started before its files were repaired"
        outdated = None if self._is_of_settings(port) else "the settings of its server in ciplug.yaml have changed"
        return Live(str(facts.get("release", "")), files, endpoint, problem, outdated=outdated)

    def place(self, release: Release) -> None:
        self._check_model(release.model)
        kept = self._release_folder(release)
        coming = kept.with_name(f".{kept.name}.part")
        with self._alone():
            if kept.is_dir():
                if _digests(kept / "files") == dict(release.files):
                    return
                # Somebody has changed it: a server that has loaded it goes on until the switch.
                kept.rename(kept.with_name(f".{kept.name}.{time.time_ns()}.changed"))
            shutil.rmtree(coming, ignore_errors=True)
            for path in release.files:
                target = coming / "files" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(release.folder / path, target)
            facts = {"model": release.model, "version": release.version, "digest": release.digest}
            facts["placed"] = time.time_ns()
            write_atomically(coming / "release.json", _json({**facts, "files": dict(release.files)}))
            if _digests(coming / "files") != dict(release.files):
                raise TargetError(f"{coming}: the disk has other bytes than were written")
            coming.rename(kept)
            sync_folder(kept.parent)

    def switch(self, release: Release) -> None:
        with self._alone():
            self._check_model(release.model)
            self._check_order(release.model, release.event)
            before = self._served_port()
            kept = self._release_folder(release)
            serves = before is not None and self._is_server_of(before, kept) and not self._is_stale(before)
            if before is not None and serves and self._is_of_settings(before) and self._answers(before):
                self._note_event(before, release)
                self._after_switch(before)
                self._stop_all_but(before)
                return
            port = self._start(release, kept, before)
            self._link(port)
            try:
                self._after_switch(before)
            except DeploymentRefused:
                self._go_back(before, port)
                raise
            self._stop_all_but(port)
            self._remove_old(kept)

    def end(self, model: str, stage: str, event: int) -> None:
        if not self._folder.is_dir():
            return
        with self._alone():
            self._check_model(model)
            self._check_order(model, event)
            write_atomically(self._folder / "target.json", _json({"model": model, "ended": event}))
            self._current.unlink(missing_ok=True)
            sync_folder(self._folder)
            self._stop_all_but(None)

    # --- who serves

    def _place_of(self, port: int) -> Path:
        return self._folder / "servers" / str(port)

    def _release_folder(self, release: Release) -> Path:
        return self._folder / "releases" / f"v{release.version}-{release.digest.removeprefix('sha256:')[:16]}"

    def _served_port(self) -> int | None:
        try:
            return int(self._current.readlink().name)
        except (OSError, ValueError):
            return None

    def _is_server_of(self, port: int, kept: Path) -> bool:
        return str(_read_json(self._place_of(port) / "server.json").get("release")) == str(kept)

    def _is_stale(self, port: int) -> bool:
        """Whether the files of a server were put right after it was started: it may have loaded others."""
        place = self._place_of(port)
        placed = [_read_json(file).get("placed") for file in (place / "server.json", place / "release/release.json")]
        return placed[0] != placed[1]

    def _is_of_settings(self, port: int) -> bool:
        """Whether a server was started as ciplug.yaml says now. The supervisor that nobody names may be any."""
        started = _read_json(self._place_of(port) / "server.json")
        supervisors = (None, started.get("supervisor"))
        is_same = started.get("settings") == self._server_settings and self._settings.supervisor in supervisors
        return is_same and port in self._settings.ports

    @property
    def _server_settings(self) -> dict[str, Any]:
        one = self._settings
        return {"serve": one.serve, "image": one.image, "volumes": sorted(one.volumes or ())}

    def _check_model(self, model: str) -> None:
        """Raise DeploymentRefused where the folder is another model's, or something else is in it."""
        names = set(self._folder.glob("[!.]*"))
        owner = _read_json(self._folder / "target.json").get("model")
        if owner == model or not names:
            with _writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                if owner is None:
                    write_atomically(self._folder / "target.json", _json({"model": model}))
                for name in ("releases", "servers"):
                    (self._folder / name).mkdir(exist_ok=True)
            return
        what = f"serves the model '{owner}'" if owner else "has other things in it"
        raise DeploymentRefused(
            NotDeployed.OTHER_MODEL,
            f"{self._folder} {what}",
            hint="give each model a folder of its own, in targets: of ciplug.yaml",
        )

    def _check_order(self, model: str, event: int) -> None:
        """Raise DeploymentRefused where a later event has changed what is served: this job was held up for long."""
        port = self._served_port()
        said = [_read_json(self._folder / "target.json").get("ended")]
        said += [_read_json(self._place_of(port) / "server.json").get("event")] if port is not None else []
        last = max((one for one in said if isinstance(one, int)), default=0)
        if last > event:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"{self._folder} has what a later event put there (event {last}) than this one (event {event})",
                hint=f"see what is served: ciplug deployments status '{model}'",
            )

    # --- the switch

    def _start(self, release: Release, kept: Path, before: int | None) -> int:
        """Start a server on the port that does not serve, and return it when it answers."""
        port = next(one for one in self._settings.ports if one != before)
        place = self._place_of(port)
        self._stop(port)
        shutil.rmtree(place, ignore_errors=True)
        self._check_free(port, before)
        place.mkdir(parents=True)
        (place / "release").symlink_to(os.path.relpath(kept, place))
        facts: dict[str, Any] = {"release": str(kept), "version": release.version, "digest": release.digest}
        facts["event"] = release.event
        facts["placed"] = _read_json(kept / "release.json").get("placed")
        facts["supervisor"] = self._settings.supervisor or default_supervisor(self._env)
        facts["settings"] = self._server_settings
        write_atomically(place / "upstream.conf", f"server 127.0.0.1:{port};\n".encode())
        write_atomically(place / "server.json", _json(facts))
        server = self._server(port, self._command(kept, port))
        try:
            self._supervisor_of(port).start(server)
            self._wait_for(port, server, release, before)
        except KeyboardInterrupt:
            # No server stays that nobody is led to.
            self._stop(port)
            raise
        return port

    def _wait_for(self, port: int, server: Server, release: Release, before: int | None) -> None:
        """Return when a server answers. Raises DeploymentRefused where it does not."""
        place = self._place_of(port)
        until = time.monotonic() + self._settings.patience
        while not self._answers(port):
            ended = not self._supervisor_of(port).runs(server)
            if ended or time.monotonic() >= until:
                self._stop(port)
                said = self._masked(_tail(place / "server.log")).rpartition("\n")[2][:_WORDS]
                how = "has ended" if ended else f"does not answer within {self._settings.patience:g} s"
                raise DeploymentRefused(
                    NotDeployed.UNHEALTHY,
                    f"the server of version {release.version} {how} at {self._settings.health}"
                    f"{f'; its last output: {said}' if said else ''}; {what_stays(before is not None)}",
                    hint=f"read {place / 'server.log'}, and try the command: {shlex.join(server.command)}",
                )
            time.sleep(_PAUSE)

    def _supervisor_of(self, port: int) -> Supervisor:
        """What keeps a server running: its own one, whatever the settings say by now."""
        facts = _read_json(self._place_of(port) / "server.json")
        return supervisor(str(facts.get("supervisor", "process")), self._env)

    def _stop(self, port: int) -> None:
        self._supervisor_of(port).stop(self._server(port))

    def _server(self, port: int, command: list[str] | None = None) -> Server:
        name = f"ciplug-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:12]}-{port}"
        release = str(_read_json(self._place_of(port) / "server.json").get("release", ""))
        volumes = (f"ro:{release}/files", *(self._settings.volumes or ()))
        return Server(name, self._place_of(port), command or [], self._settings.image, volumes)

    def _command(self, kept: Path, port: int) -> list[str]:
        files = kept / "files"
        values = {"{files}": str(files), "{port}": str(port)}
        command = self._settings.serve or _MLFLOW
        if "{model}" in command:
            values["{model}"] = str(_mlflow_model(files))
        if "{version}" in command:
            values["{version}"] = str(_read_json(kept / "release.json").get("version", ""))
        words = shlex.split(command)
        for name, value in values.items():
            words = [word.replace(name, value) for word in words]
        return words

    def _check_free(self, port: int, before: int | None) -> None:
        """Raise DeploymentRefused where somebody else answers: that would be taken for the new server."""
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise DeploymentRefused(
                    NotDeployed.PORT_TAKEN,
                    f"another program listens on port {port}, which is for the next version; "
                    + what_stays(before is not None),
                    hint="end it, or choose other ports: in targets: of ciplug.yaml",
                )

    def _answers(self, port: int) -> bool:
        if not self._supervisor_of(port).runs(self._server(port)):
            return False
        url = f"http://127.0.0.1:{port}{self._settings.health}"
        try:
            with opener(_ANSWER_SECONDS, proxies=False).open(url, timeout=_ANSWER_SECONDS) as answer:
                return bool(answer.status == 200)
        except FAILURES:
            return False

    def _link(self, port: int) -> None:
        """Replace the link `current` in one step."""
        coming = self._folder / ".current.part"
        coming.unlink(missing_ok=True)
        coming.symlink_to(f"servers/{port}")
        coming.replace(self._current)
        sync_folder(self._folder)

    def _go_back(self, before: int | None, port: int) -> None:
        if before is None:
            self._current.unlink()
        else:
            self._link(before)
            # The address is the earlier one again. That the command fails again changes nothing.
            with suppress(DeploymentRefused):
                self._after_switch(before)
        self._stop(port)

    def _after_switch(self, before: int | None) -> None:
        if self._settings.after_switch is None:
            return
        words = shlex.split(self._settings.after_switch)
        try:
            done = subprocess.run(
                words,
                cwd=self._folder,
                env=environment(self._env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._settings.patience,
            )
            said = " ".join(self._masked(done.stderr).split())[-_WORDS:]
            problem = f"exit code {done.returncode}: {said}" if done.returncode else None
        except (OSError, subprocess.SubprocessError) as failed:
            problem = str(failed)
        if problem:
            raise DeploymentRefused(
                NotDeployed.NOT_SWITCHED,
                f"{shlex.join(words)}: {problem}; {what_stays(before is not None)}",
                hint=f"try it on this machine: {shlex.join(words)}",
            )

    def _masked(self, text: str) -> str:
        """The lines of what a program said. They are masked before they are cut: half a secret is not noticed."""
        return "\n".join("".join(c for c in line if c.isprintable()) for line in self._mask(text).strip().splitlines())

    def _note_event(self, port: int, release: Release) -> None:
        file = self._place_of(port) / "server.json"
        write_atomically(file, _json({**_read_json(file), "event": release.event}))

    def _stop_all_but(self, port: int | None) -> None:
        for place in (self._folder / "servers").iterdir():
            if place.name.isdigit() and int(place.name) != port:
                self._stop(int(place.name))

    def _remove_old(self, kept: Path) -> None:
        others = [one for one in kept.parent.iterdir() if one != kept]
        newest = sorted(others, key=lambda one: one.stat().st_mtime, reverse=True)
        finished = [one for one in newest if not one.name.startswith(".")]
        for old in [*finished[_KEPT - 1 :], *(one for one in newest if one.name.startswith("."))]:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _writing(self._folder):
            held = acquire(self._folder / ".lock", wait=self._settings.patience)
        if held is None:
            raise TargetError(f"another job deploys to {self._folder}", hint="deploy again when it has ended")
        try:
            with _writing(self._folder):
                yield
        finally:
            release(held)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise TargetError(
            f"{problem.filename or folder}: {problem.strerror or problem}",
            hint="is the disk full, or the folder somebody else's? What was served before stays",
        ) from None


def _mlflow_model(files: Path) -> Path:
    """The only MLflow model among the files."""
    models = sorted(path.parent for path in files.rglob("MLmodel"))
    if len(models) != 1:
        count = f"{len(models)} MLflow models" if models else "no MLflow model"
        raise TargetError(
            f"the version has {count}, so MLflow's server cannot serve it",
            hint="name the command in ciplug.yaml, like serve: python serve.py {files}/model.bin --port {port}",
        )
    return models[0]


def _digests(folder: Path) -> dict[str, str]:
    """Path → sha256:<hex> of all files below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() or path.is_symlink():
            with suppress(OSError), path.open("rb") as file:
                digest = hashlib.sha256()
                while part := file.read(1 << 20):
                    digest.update(part)
                found[path.relative_to(folder).as_posix()] = f"sha256:{digest.hexdigest()}"
    return found


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        os.fsync(write.fileno())


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _tail(file: Path) -> str:
    """The last lines of a log, which may be of any size; the first of them begins with a whole line, or word."""
    try:
        with file.open("rb") as log:
            start = max(0, log.seek(0, os.SEEK_END) - _TAIL)
            log.seek(start)
            text = log.read(_TAIL)
    except OSError:
        return ""
    if start:
        text = text.partition(b"\n")[2] or text.partition(b" ")[2]
    return text.decode(errors="replace")
