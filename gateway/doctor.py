"""What is wrong with this installation, and what to do about it. Looks only: nothing is made or changed."""

import asyncio
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import apsw
import msgspec
from msgspec import Struct

import config as our_config
from config import Config, ConfigError
from gateway.admin import AdminError, Order, send_order
from gateway.channels import plan_channels
from gateway.clamd import NotScanned, ScannerAway, signatures_of
from gateway.keys import FILE as KEY_FILE
from gateway.screen import scanner_of
from gateway.wiring import database_url
from storage import open_store
from storage.backup import sqlite_path
from storage.buses import open_bus
from storage.errors import StorageError, Unavailable
from storage.held import SENDING_HELD
from storage.interaction import Health, HealthState
from storage.spool_file import look

UI_FOLDER: Final = Path(__file__).parent / "ui" / "dist"
#: Bytes; below these the disk is a worry, or a danger.
FREE_WARN: Final = 1 << 30
FREE_FAIL: Final = 100 * 1024 * 1024
#: A clock before the release of this program is wrong.
_RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC)


_OLD_SIGNATURES: Final = timedelta(days=7)


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the doctor."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


def _ok(subject: str, text: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, text=text)


def _warn(subject: str, text: str, remedy: str) -> Finding:
    return Finding(level=Level.WARN, subject=subject, text=text, remedy=remedy)


def _fail(subject: str, text: str, remedy: str) -> Finding:
    return Finding(level=Level.FAIL, subject=subject, text=text, remedy=remedy)


async def examine(load: Callable[[], Config], environment: Mapping[str, str], now: datetime | None = None) -> list[Finding]:
    """All findings, the program first, then the configuration, then the data."""
    findings = [_python(), _sqlite(), _packages(), _ui(), _clock(now or datetime.now(UTC)), *_proxy(environment)]
    try:
        config = load()
        url = database_url(config)
    except ConfigError as error:
        return [*findings, *(_fail("configuration", str(problem), "") for problem in error.problems)]
    findings.append(_ok("configuration", f"read, {len(config.channels)} channels"))
    findings += _channels(config)
    findings += _data_dir(Path(config.data_dir))
    findings += _key(config)
    findings += await asyncio.to_thread(_spools, Path(config.data_dir))
    findings += await _database(url, Path(config.data_dir))
    findings += await _sending(url, Path(config.data_dir))
    findings += await _health(config)
    findings += await _bus(config.bus.url.reveal())
    findings += [await _scanner(config, now or datetime.now(UTC))]
    return findings


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 11):  # noqa: UP036 - the answer to somebody who started us by force
        return _fail("python", text, "Install Python 3.11 or newer.")
    return _ok("python", text)


def _sqlite() -> Finding:
    return _ok("sqlite", f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})")


def _packages() -> Finding:
    """A folder ``config`` in the working directory would hide ours under ``python -m``."""
    ours, found = Path(__file__).parent.parent, Path(our_config.__file__).parent.parent
    if ours != found:
        return _fail("packages", f"'config' comes from {found}, not from {ours}", "Start by the command sportello, from another folder.")
    return _ok("packages", str(ours))


def _ui() -> Finding:
    missing = [name for name in ("inbox/index.html", "widget.js") if not (UI_FOLDER / name).is_file()]
    if missing:
        return _fail("pages", f"not built: {', '.join(missing)}", "In a checkout: make build. Otherwise reinstall the package.")
    return _ok("pages", "built")


def _clock(now: datetime) -> Finding:
    if now < _RELEASED:
        return _fail("clock", f"it says {now:%Y-%m-%d}", "Set the system clock, and keep it right with NTP: signatures have an age.")
    return _ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


def _proxy(environment: Mapping[str, str]) -> list[Finding]:
    named = sorted(name for name in environment if name.lower() in {"http_proxy", "https_proxy", "all_proxy"})
    if not named:
        return []
    return [
        _warn(
            "proxy",
            f"{', '.join(named)} is set, and is not used for calls to providers",
            "Make sure that providers can be reached directly.",
        )
    ]


def _channels(config: Config) -> list[Finding]:
    try:
        planned = plan_channels(config)
    except ConfigError as error:
        return [_fail("channels", str(problem), "") for problem in error.problems]
    if not planned:
        return [_warn("channels", "none is configured", "Add a section [channels.<id>] to the configuration; see sportello settings.")]
    findings = []
    address = urlsplit(config.public_url)
    reachable = address.scheme == "https" and address.hostname not in {"localhost", "127.0.0.1", "::1"}
    for plan in planned:
        subject = f"channel {plan.id}"
        by_webhook = getattr(plan.settings, "mode", "") == "webhook"
        local = urlsplit(getattr(plan.settings, "api_base", "")).hostname in {"localhost", "127.0.0.1", "::1"}
        if not plan.section.enabled:
            findings.append(_ok(subject, f"{plan.connector.kind}, disabled"))
        elif by_webhook and not reachable and not local:
            text = f"its provider has to reach {config.public_url}, which is not a public https address"
            findings.append(_warn(subject, text, 'Set server.public_url, or mode = "poll" where the channel has it.'))
        else:
            findings.append(_ok(subject, f"{plan.connector.kind}; prepare its provider by: sportello channel connect {plan.id}"))
    return findings


def _data_dir(folder: Path) -> list[Finding]:
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        return [_fail("data", f"{nearest} cannot be written by this user", "Change its owner, or set another data_dir.")]
    findings = [_ok("data", str(folder) if folder.exists() else f"{folder} is not there yet; it is made at the first start")]
    free = shutil.disk_usage(nearest).free
    text = f"{free // (1 << 20)} MiB free at {nearest}"
    if free < FREE_FAIL:
        findings.append(_fail("disk", text, "Free some space now: without it nothing can be received."))
    elif free < FREE_WARN:
        findings.append(_warn("disk", text, "Free some space soon."))
    else:
        findings.append(_ok("disk", text))
    return findings


def _key(config: Config) -> list[Finding]:
    path = Path(config.data_dir) / KEY_FILE
    if config.server.secret_key:
        return [_ok("secret key", "configured")]
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return [_ok("secret key", "not there yet; it is made at the first start")]
    except OSError as error:
        return [_fail("secret key", f"{path} cannot be looked at ({error.strerror})", "It has to belong to the user who runs Sportello.")]
    if mode & 0o077:
        return [_fail("secret key", f"others may read {path}", f"Run: chmod 600 {path}")]
    return [_ok("secret key", str(path))]


def _spools(data_dir: Path) -> list[Finding]:
    """What waits on this machine for a database that is elsewhere; nothing if there never was a spool."""
    findings = []
    for path in sorted(data_dir.glob("spool*.db")):
        subject = f"spool {path.name}"
        try:
            seen = look(path)
        except StorageError as error:
            remedy = "Start the gateway: it sets the damaged file aside and rescues what can be read."
            findings.append(_fail(subject, str(error), remedy))
            continue
        if seen.refused:
            text = f"the database refused {seen.refused} events, the newest because: {seen.why}"
            findings.append(_warn(subject, text, "They are tried again at each start: repair the cause, then restart the gateway."))
        if seen.waiting and seen.oldest is not None:
            text = f"{seen.waiting} events wait for the database, the oldest since {seen.oldest:%Y-%m-%d %H:%M} UTC"
            remedy = "Bring the database back; a gateway that has this data_dir and that database hands them on by itself."
            findings.append(_warn(subject, text, remedy))
        elif not seen.refused:
            findings.append(_ok(subject, "empty"))
    findings += [
        _fail(f"spool {path.name}", "this damaged spool may hold messages that were taken and are nowhere else", remedy)
        for path in sorted(data_dir.glob("spool*.db.corrupt-*"))
        if not path.name.endswith(("-wal", "-shm"))
        for remedy in ["Rescue what it holds, for example with the sqlite3 command's .recover; then remove the file."]
    ]
    return findings


async def _bus(url: str) -> list[Finding]:
    """Does Redis answer?"""
    if not url:
        return []
    try:
        bus = await open_bus(url)
    except StorageError as error:
        return [_fail("bus", str(error), "Correct bus.url.")]
    try:
        # A question of no consequence; whoever cannot answer it is away.
        known = await bus.present("doctor") is not None
        trouble = bus.state or ("" if known else "it does not answer")
    finally:
        await bus.close()
    if not trouble:
        return [_ok("bus", "Redis answers")]
    remedy = "Start it, or correct bus.url. Nothing is lost without it: nodes read the database, and limits of providers count per node."
    return [_warn("bus", trouble, remedy)]


async def _scanner(config: Config, now: datetime) -> Finding:
    """Does the virus scanner answer, and does it know today's viruses?"""
    scanner = scanner_of(config)
    if scanner is None:
        return _ok("scanner", "off: nobody looks at the files that people send. Hint: media.scanner can name a ClamAV")
    try:
        version = await scanner.version()
    except (ScannerAway, NotScanned) as error:
        remedy = "Start clamd, or correct media.scanner. Files wait until it answers; messages do not."
        return _fail("scanner", f"{config.media.scanner}: {error}", remedy)
    program, _, rest = version.partition("/")
    made = signatures_of(rest)
    if made is None:
        return _warn("scanner", f"{program or 'it'} has no virus signatures", "Run freshclam: without signatures nothing is found.")
    if now - made > _OLD_SIGNATURES:
        return _warn("scanner", f"{program}, its signatures are of {made:%Y-%m-%d}", "Keep them up to date with freshclam.")
    return _ok("scanner", f"{program}, signatures of {made:%Y-%m-%d}")


async def _sending(url: str, data_dir: Path) -> list[Finding]:
    """Held or not; what keeps us from seeing it is said elsewhere."""
    try:
        why = (await send_order(data_dir, Order("outbox.status")))["why"]
    except AdminError:
        return []
    except OSError:
        if url.startswith("sqlite:") and not await asyncio.to_thread(sqlite_path(url).exists):
            return []
        try:
            store = await open_store(url, migrate=False)
        except StorageError:
            return []
        try:
            why = await store.view(lambda tx: tx.settings.get(SENDING_HELD))
        finally:
            await store.close()
    if not why:
        return []
    remedy = "Look at what waits: sportello outbox status. Then: sportello outbox release, with --drop-older-than if need be."
    return [_warn("sending", f"held: {why}", remedy)]


async def _health(config: Config) -> list[Finding]:
    """What the running gateway thinks of its channels; without one, nobody looks at them."""
    try:
        known = msgspec.convert(await send_order(Path(config.data_dir), Order("channel.health")), dict[str, Health])
    except (AdminError, OSError):
        return []
    findings = []
    # Of one that was switched off, what was known last is of no interest.
    enabled = {channel for channel, section in config.channels.items() if section.enabled}
    for channel, health in sorted(known.items()):
        if channel not in enabled:
            continue
        for component, part in health.items():
            if part.state in (HealthState.DOWN, HealthState.DEGRADED):
                text = f"{component.value} is {part.state.value} since {part.since:%Y-%m-%d %H:%M} UTC: {part.why}"
                remedy = f"Look: sportello channel check {channel}, and sportello channel log {channel} --failed"
                make = _fail if part.state is HealthState.DOWN else _warn
                findings.append(make(f"channel {channel}", text, remedy))
    return findings


async def _database(url: str, data_dir: Path) -> list[Finding]:
    path = Path(unquote(urlsplit(url).path))
    if not await asyncio.to_thread(path.exists):
        return [_ok("database", f"{path} is not there yet; it is made at the first start")]
    try:
        # One process has the database: while the gateway runs, it has to look itself.
        problems = await send_order(data_dir, Order("status"))
        text = f"{path}, in use by the running gateway"
    except AdminError as error:
        return [_fail("database", str(error), "")]
    except OSError:
        text = str(path)
        try:
            store = await open_store(url, migrate=False)
        except Unavailable as error:
            return [_warn("database", str(error), "If that is a gateway that is just starting or stopping, try again in a moment.")]
        except StorageError as error:
            return [_fail("database", str(error), "Nothing was changed.")]
        try:
            problems = await store.check()
        finally:
            await store.close()
    return [_fail("database", problem, "") for problem in problems] or [_ok("database", text)]
