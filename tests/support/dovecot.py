"""A real Dovecot on a free port of this machine: the installed one, or Debian's packages unpacked into the user's cache."""

import asyncio
import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

PASSWORD = "canary-mailbox-0123456789"
_PACKAGES = (
    "dovecot-imapd",
    "dovecot-core",
    "libexttextcat-2.0-0",
    "libexttextcat-data",
    "liblua5.4-0",
    "libsodium23",
    "libstemmer0d",
    "libwrap0",
)
#: A path that is fixed in its libraries, and one of the same length that is found from where each process stands.
_MODULES = b"/usr/lib/dovecot/modules"
_HERE = b"././././././././/modules"
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Programs:
    """Where Dovecot's programs are."""

    binary: Path
    libexec: Path
    environment: dict[str, str]
    #: Reads the configuration and becomes Dovecot; which would look for it at a fixed path.
    doveconf: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files; with them the server speaks TLS on a second port, and demands STARTTLS or that on the first."""

    certificate: Path
    key: Path


@dataclass(slots=True)
class Dovecot:
    """A server that answers; every user name has the same password and a mailbox of its own."""

    programs: Programs
    home: Path
    port: int
    process: asyncio.subprocess.Process | None = None
    capability: str = ""
    tls: Tls | None = None
    #: Of the port for TLS from the first byte.
    tls_port: int = 0
    #: Where it asks whom a bearer token belongs to; empty: nobody logs in by token.
    introspection_url: str = ""

    def client(self, user: str) -> IMAPClient:
        """Logged in."""
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=10)
        if self.tls is not None:
            client.starttls(ssl.create_default_context(cafile=str(self.tls.certificate)))
        client.login(user, PASSWORD)
        return client

    async def by_hand(self, user: str, *steps: Any) -> Any:
        """Calls of ``IMAPClient`` as (name, arguments…), in a thread; the last one's result."""

        def work() -> Any:
            client = self.client(user)
            try:
                result = None
                for name, *arguments in steps:
                    result = getattr(client, name)(*arguments)
                return result
            finally:
                with contextlib.suppress(Exception):
                    client.logout()

        return await asyncio.to_thread(work)

    async def append(self, user: str, *mails: bytes, folder: str = "INBOX") -> None:
        await self.by_hand(user, *(("append", folder, mail) for mail in mails))

    async def flags(self, user: str, folder: str = "INBOX") -> dict[int, tuple[bytes, ...]]:
        """By UID."""

        def work() -> dict[int, tuple[bytes, ...]]:
            client = self.client(user)
            try:
                client.select_folder(folder, readonly=True)
                uids = client.search("ALL")
                return {uid: tuple(one[b"FLAGS"]) for uid, one in client.fetch(uids, ["FLAGS"]).items()} if uids else {}
            finally:
                client.logout()

        return await asyncio.to_thread(work)

    async def start(self) -> None:
        """Returns when it answers."""
        config = self.home / "dovecot.conf"
        config.write_text(_config(self), "utf-8")
        (self.home / "oauth2.conf").write_text(_INTROSPECTION.format(url=self.introspection_url), "utf-8")
        for place in ("run", "run/login", "run/empty"):
            (self.home / place).mkdir(parents=True, exist_ok=True)
            if not (self.home / place / "modules").is_symlink():
                (self.home / place / "modules").symlink_to(self.programs.libexec / "modules")
        (self.home / "run/master.pid").unlink(missing_ok=True)
        environment = {**os.environ, **self.programs.environment}
        before = [str(self.programs.doveconf), "-c", str(config), "-m", "master", "-e"] if self.programs.doveconf is not None else []
        self.process = await asyncio.create_subprocess_exec(
            *before,
            str(self.programs.binary),
            "-F",
            "-c",
            str(config),
            env=environment,
            start_new_session=True,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(_PATIENCE):
            while not await asyncio.to_thread(self._answers):
                if self.process.returncode is not None:
                    log = (self.home / "log").read_text("utf-8") if (self.home / "log").exists() else ""
                    pytest.fail(f"Dovecot ended with {self.process.returncode}: {log[-2000:]}")
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            # The whole group, which is ours alone: sessions outlive their master.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        try:
            self.client("nobody-special").logout()
        except Exception:  # noqa: BLE001  whatever it is, it does not answer yet
            return False
        return True


@contextlib.asynccontextmanager
async def running_dovecot(*, capability: str = "", tls: Tls | None = None, introspection_url: str = "") -> AsyncIterator[Dovecot]:
    """A fresh one; ``capability`` replaces what it says that it can; see :class:`Dovecot` for the rest."""
    programs = await asyncio.to_thread(find_dovecot)
    # Its sockets need short paths.
    home = Path(tempfile.mkdtemp(prefix="dc"))
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        port, tls_port = free.getsockname()[1], other.getsockname()[1]
    dovecot = Dovecot(programs, home, port, capability=capability, tls=tls, tls_port=tls_port, introspection_url=introspection_url)
    try:
        await asyncio.to_thread(_prepare, home)
        await dovecot.start()
        yield dovecot
    finally:
        await dovecot.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


def _prepare(home: Path) -> None:
    home.chmod(0o755)
    (home / "mail").mkdir()
    (home / "mail").chmod(0o777)


def find_dovecot() -> Programs:
    """Skips the test if there is none; under ``CI=true`` fails it."""
    for binary in (shutil.which("dovecot"), "/usr/sbin/dovecot"):
        if binary is not None and Path(binary).exists() and Path("/usr/lib/dovecot/imap").exists():
            return Programs(Path(binary), Path("/usr/lib/dovecot"), {})
    # Root's Dovecot becomes "nobody", who may not look into root's home.
    cache = Path("/var/cache") if os.geteuid() == 0 else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    root = cache / "sportello" / "dovecot"
    why = "" if _binary(root) is not None else _unpack(root)
    binary_path = _binary(root)
    if binary_path is None:
        words = f"THERE IS NO DOVECOT HERE: real mailboxes are not tested. Install dovecot-imapd. {why}"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    files = root / "root"
    libraries = [files / "usr/lib/dovecot", *files.glob("usr/lib/*-linux-*"), *files.glob("lib/*-linux-*")]
    return Programs(binary_path, files / "usr/lib/dovecot", {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}, files / "usr/bin/doveconf")


def _binary(root: Path) -> Path | None:
    found = root / "root/usr/sbin/dovecot"
    return found if found.exists() and (root / "root/usr/lib/dovecot/imap").exists() else None


def _unpack(root: Path) -> str:
    """Fetches Debian's packages as any user may, and unpacks them without installing. Returns why not."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return "There is no apt-get to fetch it with."
    partial = root.with_name(f"dovecot-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        for package in _PACKAGES:
            # Names differ between releases; what is missing shows when it is started.
            subprocess.run(["apt-get", "download", package], cwd=partial, capture_output=True, timeout=120, check=False)
        for file in partial.glob("*.deb"):
            subprocess.run(["dpkg", "-x", file, partial / "root"], capture_output=True, timeout=60, check=True)
        for file in (partial / "root/usr/lib/dovecot").iterdir():
            if file.is_file() and not file.is_symlink() and _MODULES in (data := file.read_bytes()):
                file.write_bytes(data.replace(_MODULES, _HERE))
        if _binary(partial) is None:
            return "Its packages could not be fetched."
        shutil.rmtree(root, ignore_errors=True)
        partial.rename(root)
    except (subprocess.SubprocessError, OSError) as error:
        return f"Its packages could not be unpacked: {type(error).__name__}."
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ""


#: Who is asked by POST gives the token's owner (RFC 7662).
_INTROSPECTION = """
introspection_url = {url}
introspection_mode = post
username_attribute = username
active_attribute = active
active_value = true
"""


def _config(dovecot: Dovecot) -> str:
    root = os.geteuid() == 0
    user = "nobody" if root else pwd.getpwuid(os.geteuid()).pw_name
    # By name: a group that has none cannot be used.
    group = "nogroup" if root else grp.getgrgid(os.getegid()).gr_name
    home = dovecot.home
    said = f"imap_capability = {dovecot.capability}\n" if dovecot.capability else ""
    mechanisms = "plain login"
    if dovecot.introspection_url:
        mechanisms += " xoauth2"
        said += f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2\n  args = {home}/oauth2.conf\n}}\n"
    encryption = "ssl = no"
    if dovecot.tls is not None:
        encryption = f"ssl = required\nssl_cert = <{dovecot.tls.certificate}\nssl_key = <{dovecot.tls.key}"
    return f"""
protocols = imap
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
libexec_dir = {dovecot.programs.libexec}
import_environment = TZ LD_LIBRARY_PATH
mail_plugin_dir = {dovecot.programs.libexec}/modules
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_vsz_limit = 1G
{encryption}
disable_plaintext_auth = no
mail_location = maildir:{home}/mail/%u
first_valid_uid = 1
mail_max_userip_connections = 100
{said}passdb {{
  driver = static
  mechanisms = plain login
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={home}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {dovecot.port}
  }}
  inet_listener imaps {{
    port = {dovecot.tls_port if dovecot.tls is not None else 0}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
