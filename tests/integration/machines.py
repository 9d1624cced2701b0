"""Machines with networks of their own, and pages of the docs typed on them as they stand.

A machine is a network namespace with a folder as its home. All hang on one router, which passes on
what it was told to and nothing else: connections from one machine to a port of another, and the
answers. The rules look at each packet by itself, as the simplest of firewalls does.

A page says at its top which test runs it, and names machines in the prompts of its console blocks:

    <!-- machines: run by tests/integration/test_two_hospitals.py -->

    medfed@north:~$ medfed site doctor site
    ok       settings     site north, …

Each shown line must appear in what the command printed, in this order; `…` stands for anything,
numbers and fingerprints may differ. Comments before a block, which no reader sees:

    <!-- stays -->                  its last command goes on running; shown lines are waited for
    <!-- file NAME on MACHINE … --> the block, or what it includes, is this file on these machines
    <!-- carry FILE … from A to B -->  files that somebody sends before the block
    <!-- not run: REASON -->        left out
    <!-- exits 2 -->                its last command ends with this status

A shown line `^C` interrupts what runs on that machine under the same command. `medfed1-…` stands
for the latest invitation of the machine's name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from conftest import under_ci
from docs_examples import PROMPT, Block, blocks

from medfed.federation.enrolment.code import InviteCode

SECONDS = 240
"""The longest that a command, or a line that is waited for, may take on a busy machine."""
CODE = "medfed1-…"
CARRY = re.compile(r"carry (?P<names>.+) from (?P<giver>\w+) to (?P<taker>\w+)")
INCLUDE = re.compile(r"`{3,}\{literalinclude\} (?P<path>\S+)")
FILE = re.compile(r"file (?P<name>\S+) on (?P<machines>.+)")
VARIES = re.compile(
    r"((?:[0-9a-f]{4} ){7}[0-9a-f]{4}|\b[0-9a-f]{16,}\b|\d+(?:\.\d+)?|medfed1-\S+|…|\s+)"
)


def demand_root() -> None:
    """Skip the running test for those who may not make networks; under CI=true, fail it."""
    if os.geteuid() == 0:
        return
    reason = "only root may make network namespaces"
    if under_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@dataclass
class Machine:
    """One machine: `home` is where its user stands."""

    name: str
    address: str
    namespace: str
    home: Path
    running: dict[str, Started] = field(default_factory=dict)
    started: list[Started] = field(default_factory=list)

    def start(self, command: str, env: Mapping[str, str] | None = None) -> Started:
        """Start a command of bash's."""
        log = self.home / f".output-{len(self.started)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "bash", "-c", f"exec 2>&1; {command}"],
                cwd=self.home,
                env=_environment(self.home) | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Started(command, process, log))
        return self.started[-1]

    def run(self, command: str, env: Mapping[str, str] | None = None, status: int = 0) -> str:
        """Run a command to its end, which must be of this status; what it printed."""
        started = self.start(command, env)
        try:
            found = started.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            started.process.kill()
            found = None
        text = started.text
        assert found == status, f"{self.name}: `{command}` ended with {found}:\n{text}"
        return text

    def can_reach(self, address: str, port: int) -> bool:
        """Whether a TCP connection comes about."""
        code = f"import socket; socket.create_connection(({address!r}, {port}), 3)"
        line = ["ip", "netns", "exec", self.namespace, sys.executable, "-c", code]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    @contextlib.contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Somebody listens on all addresses."""
        code = f"import socket, time; s = socket.create_server(('', {port})); time.sleep(600)"
        line = ["ip", "netns", "exec", self.namespace, sys.executable, "-c", code]
        with subprocess.Popen(line) as process:
            try:
                _until(lambda: self.can_reach("127.0.0.1", port), "nobody listens")
                yield
            finally:
                process.kill()

    def open_ports(self) -> list[str]:
        """Where this machine listens for others, by its own account."""
        listed = subprocess.run(
            ["ip", "netns", "exec", self.namespace, "ss", "-Htuln"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        places = [line.split()[4] for line in listed.splitlines()]
        return [place for place in places if not place.startswith(("127.", "[::1]"))]


@dataclass
class Started:
    """A command that was started."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", errors="replace")

    def interrupt(self) -> None:
        """Ctrl-C: everything in its terminal hears of it."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(SECONDS)

    def wait_for(self, lines: Iterable[str]) -> None:
        """Wait until these lines were printed.

        Raises:
            AssertionError: It ended before, or took too long.
        """
        lines = list(lines)
        _until(
            lambda: not missing(lines, self.text) or self.process.poll() is not None,
            f"`{self.command}` does not print {lines}",
        )
        assert not missing(lines, self.text), f"`{self.command}` ended:\n{self.text}"


class Network:
    """Machines around a router.

    Args:
        home: Folder for the machines' homes.
        machines: Addresses by name, each in a network (/24) of its own; the router is ``.1``.
        allowed: From whom to whom on which TCP port.
        names: What stands in every machine's hosts file: host to address.
    """

    def __init__(
        self,
        home: Path,
        machines: Mapping[str, str],
        allowed: Iterable[tuple[str, str, int]],
        names: Mapping[str, str],
    ) -> None:
        mark = f"medfed-{os.getpid()}"
        self.router = f"{mark}-router"
        self.machines = {
            name: Machine(name, address, f"{mark}-{name}", home / name)
            for name, address in machines.items()
        }
        self._allowed = list(allowed)
        self._names = dict(names)

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def __enter__(self) -> Self:
        _sweep()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines.values():
            _end_all(machine.namespace)
            for each in machine.started:
                each.process.wait(SECONDS)
        for namespace in (*(m.namespace for m in self.machines.values()), self.router):
            _remove(namespace)

    def _make(self) -> None:
        _ip("netns", "add", self.router)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        _ip("netns", "exec", self.router, "sh", "-c", forward)
        for machine in self.machines.values():
            self._add(machine)
        for one, other, port in self._allowed:
            there = ["from", self[one].address, "to", self[other].address]
            back = ["from", self[other].address, "to", self[one].address]
            rule = ["-n", self.router, "rule", "add", "priority", "100"]
            _ip(*rule, *there, "ipproto", "tcp", "dport", str(port), "lookup", "main")
            _ip(*rule, *back, "ipproto", "tcp", "sport", str(port), "lookup", "main")
        _ip("-n", self.router, "rule", "add", "priority", "200", "blackhole")

    def _add(self, machine: Machine) -> None:
        gateway = machine.address.rpartition(".")[0] + ".1"
        space, wire = machine.namespace, machine.name
        _ip("netns", "add", space)
        veth = ["type", "veth", "peer", "name", wire, "netns", self.router]
        _ip("link", "add", "eth0", "netns", space, *veth)
        for where, link, address in (
            (space, "eth0", machine.address),
            (self.router, wire, gateway),
        ):
            _ip("-n", where, "addr", "add", f"{address}/24", "dev", link)
            _ip("-n", where, "link", "set", link, "up")
            _ip("-n", where, "link", "set", "lo", "up")
        _ip("-n", space, "route", "add", "default", "via", gateway)
        machine.home.mkdir(parents=True)
        # `ip netns exec` lays these files over those in /etc.
        hosts = _hosts(space)
        hosts.parent.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", *(f"{at} {name}" for name, at in self._names.items())]
        hosts.write_text("\n".join(lines) + "\n")
        # Nobody answers there: a name that stands in no file is unknown at once.
        (hosts.parent / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def add_name(self, machine: str, name: str, address: str) -> None:
        """Put a line at the top of one machine's hosts file."""
        hosts = _hosts(self[machine].namespace)
        hosts.write_text(f"{address} {name}\n{hosts.read_text()}")


class Typist:
    """Types the blocks of a page on machines.

    Args:
        network: The machines.
        page: The page.
    """

    def __init__(self, network: Network, page: Path) -> None:
        self.network = network
        self.page = page
        self.codes: dict[str, str] = {}
        self.printed: list[tuple[str, str, str]] = []
        """Machine, command, and what it printed."""

    def blocks(self) -> Iterator[Block]:
        """The page's blocks for these machines, each typed before it is given."""
        for block in blocks(self.page.read_text("utf-8")):
            if block.left_out:
                continue
            self._carry(block)
            if any(FILE.fullmatch(comment) for comment in block.comments):
                self._write(block)
            elif block.language == "console":
                self._type(block)
            else:
                continue
            yield block

    def _carry(self, block: Block) -> None:
        for comment in block.comments:
            if match := CARRY.fullmatch(comment):
                for name in match["names"].split():
                    taken = self.network[match["taker"]].home / name
                    shutil.copy(self.network[match["giver"]].home / name, taken)

    def _write(self, block: Block) -> None:
        fence = self.page.read_text("utf-8").splitlines()[block.line - 1]
        include = INCLUDE.match(fence)
        inside = (self.page.parent / include["path"]).read_text("utf-8") if include else block.text
        for comment in block.comments:
            if match := FILE.fullmatch(comment):
                for name in match["machines"].split():
                    file = self.network[name].home / match["name"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(f"{inside}\n", encoding="utf-8")

    def _type(self, block: Block) -> None:
        typed = list(_typed(block))
        assert typed, f"{self.page.name}, line {block.line}: no prompt names a machine"
        for number, (name, written, shown) in enumerate(typed, 1):
            last, where = number == len(typed), f"{self.page.name}, line {block.line}"
            machine = self.network[name]
            command = written.replace(CODE, self.codes.get(name, CODE))
            if "^C" in shown:
                started = machine.running.pop(command)
                started.interrupt()
                text = started.text
            elif last and "stays" in block.comments:
                started = machine.running[command] = machine.start(command)
                started.wait_for(shown)
                text = started.text
            else:
                text = machine.run(command, status=block.status if last else 0)
            self.printed.append((name, command, text))
            self._keep_codes(text)
            absent = missing([line for line in shown if line != "^C"], text)
            assert not absent, f"{where}: `{command}` does not print {absent[0]!r}, but\n{text}"

    def _keep_codes(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("medfed1-"):
                self.codes[InviteCode.parse(line).site] = line.strip()

    def output(self, machine: str, words: str) -> str:
        """What the last command with these words printed on a machine."""
        return next(
            text for name, cmd, text in reversed(self.printed) if name == machine and words in cmd
        )


def missing(shown: Iterable[str], text: str) -> list[str]:
    """The shown lines from the first that does not appear in its turn."""
    shown, lines = [line for line in shown if line.strip(" …")], iter(text.splitlines())
    for number, want in enumerate(shown):
        if not any(_pattern(want).fullmatch(line.strip()) for line in lines):
            return shown[number:]
    return []


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile("".join(_piece(piece) for piece in VARIES.split(line.strip())))


def _piece(piece: str) -> str:
    if piece == "…" or piece.startswith("medfed1-"):
        return ".*"
    if piece.isspace():
        return r"\s+"
    if not VARIES.fullmatch(piece):
        return re.escape(piece)
    if " " in piece:
        return "[0-9a-f]{4}( [0-9a-f]{4}){7}"
    return r"\d+(\.\d+)?" if piece[0].isdigit() and len(piece) < 16 else "[0-9a-f]+"


def _typed(block: Block) -> Iterator[tuple[str, str, list[str]]]:
    """Machine, command and shown lines, one after the other."""
    machine, command, shown = "", "", []
    for line in block.text.splitlines():
        if match := PROMPT.match(line):
            if machine:
                yield machine, command, shown
            machine, command, shown = match["machine"], match["command"], []
        elif command.endswith("\\") and not shown:
            command = command[:-1] + line.removeprefix("> ").strip()
        else:
            shown.append(line)
    if machine:
        yield machine, command, shown


def _environment(home: Path) -> dict[str, str]:
    """What somebody finds who has just logged in; no proxy of the machine that tests."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        kept.pop(name, None)
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return kept | {"PATH": path, "HOME": str(home), "COLUMNS": "100"}


def _end_all(namespace: str) -> None:
    """End whatever runs in a namespace of ours."""
    for _ in range(50):
        listed = subprocess.run(
            ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False
        ).stdout.split()
        if not listed:
            return
        for number in listed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        time.sleep(0.1)


def _remove(namespace: str) -> None:
    _end_all(namespace)
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)
    shutil.rmtree(_hosts(namespace).parent, ignore_errors=True)


def _sweep() -> None:
    """Remove what a test that was killed has left behind."""
    for place in Path("/run/netns").glob("medfed-*-*"):
        if not Path("/proc", place.name.split("-")[1]).exists():
            _remove(place.name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _hosts(namespace: str) -> Path:
    return Path("/etc/netns") / namespace / "hosts"


def _until(true, complaint: str) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, complaint
        time.sleep(0.1)
