"""The TLS server before the coordinator: nginx, run by the coordinator itself, without root."""

import os
import shutil
import signal
import subprocess
from importlib.resources import files
from pathlib import Path
from string import Template

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.federation.enrolment.certificates import CA, TLS
from medfed.federation.settings.coordinator import CoordinatorSettings

SUPERLINK = "flower"
"""Folder of the SuperLink's own certificates inside the coordinator's."""
SCRATCH = "nginx"
"""Its folder inside the coordinator's: configuration, process number, temporary files."""


def nginx_config(
    settings: CoordinatorSettings, superlink_port: int | None = None, enrol_port: int | None = None
) -> str:
    """The configuration, whole.

    Args:
        settings: The coordinator's.
        superlink_port: Where the SuperLink listens on loopback; the settings' when None.
        enrol_port: Where the enrolment listens on loopback; the settings' when None.

    Raises:
        SiteError: A port is not known, or the folder's name cannot stand in the configuration.
    """
    superlink_port = superlink_port or settings.superlink_port
    enrol_port = enrol_port or settings.enrol_port
    if not superlink_port or not enrol_port:
        remedy = "Set superlink_port and enrol_port in coordinator.toml, such as 9091 and 9092"
        raise SiteError("the ports behind nginx are not fixed", remedy=remedy)
    host = f"[{settings.bind_host}]" if ":" in settings.bind_host else settings.bind_host
    text = files("medfed.federation").joinpath("nginx.conf.template").read_text("utf-8")
    return Template(text).substitute(
        listen=f"{host}:{settings.bind_port}",
        scratch=_quoted(settings.folder / SCRATCH),
        tls=_quoted(settings.folder / TLS),
        superlink_port=superlink_port,
        superlink_ca=_quoted(settings.folder / SUPERLINK / CA),
        enrol_port=enrol_port,
    )


def prepare_nginx(settings: CoordinatorSettings, superlink_port: int, enrol_port: int) -> list[str]:
    """Write the configuration into the coordinator's folder; returns the command that runs it.

    Raises:
        SiteError: nginx is not installed.
    """
    program = find_nginx()
    scratch = settings.folder / SCRATCH
    scratch.mkdir(exist_ok=True, mode=0o700)
    file = scratch / "nginx.conf"
    write_atomic(file, nginx_config(settings, superlink_port, enrol_port).encode())
    return [program, "-e", "stderr", "-p", str(scratch), "-c", str(file)]


def find_nginx() -> str:
    """The program.

    Raises:
        SiteError: It is not installed.
    """
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("nginx", path=places)
    if not found:
        remedy = "Install it: `apt install nginx`, or `brew install nginx`"
        raise SiteError("nginx is not installed on this machine", remedy=remedy)
    return found


def reload_nginx(folder: Path) -> bool:
    """Let a running nginx take the new certificate; connections that are open stay open.

    Returns:
        Whether one was running for this folder.
    """
    try:
        number = int((folder / SCRATCH / "nginx.pid").read_text())
        # A number left behind by a crash may be another program's by now.
        command = ["ps", "-o", "comm=", "-p", str(number)]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if "nginx" not in name:
            return False
        os.kill(number, signal.SIGHUP)
    except (OSError, ValueError):
        return False
    return True


def _quoted(path: Path) -> str:
    """A path as nginx reads it; it has no way to write a dollar sign."""
    text = str(path.resolve())
    if any(sign in text for sign in '$"\\;{}\n\r'):
        remedy = "Use a folder without $, quotes, braces, backslashes and semicolons in its path"
        raise SiteError(f"nginx cannot work in {text}", remedy=remedy)
    return text
