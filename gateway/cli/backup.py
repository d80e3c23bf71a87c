"""``backup`` and ``restore``."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter

from config import Config
from gateway.admin import AdminError, Order, send_order
from gateway.backup import Wish, back_up, home_of
from gateway.backup import restore as bring_back
from gateway.cli.common import STANDARD, Common, complain, say
from gateway.wiring import database_url, without_password
from storage.archive import Manifest
from storage.backup import engine_of
from storage.errors import StorageError

_MIB: Final = 1024 * 1024
#: A backup of a large shop takes hours.
_LONGEST: Final = 48 * 3600.0


def register(app: App) -> None:
    """Add these commands."""
    app.command(backup)
    app.command(restore)


async def backup(
    file: Annotated[Path, Parameter(help="The file to make; it must not exist. Ending in .gz: compressed, smaller and slower.")],
    *,
    with_key: Annotated[bool, Parameter(name="--with-key", negative="", help="Put the secret key in, too.")] = False,
    common: Common = STANDARD,
) -> None:
    """Write everything that is kept into one file, while the gateway runs or while it does not.

    The file is one consistent state of the database, and the files that people sent. It appears under its name only when it is
    complete and on the disk, and only your user can read it: it holds what customers wrote and the hashes of passwords.

    The secret key is not in it unless you say --with-key: whoever has it can pass for any visitor of the web chat. Without it a
    restored shop works, but visitors begin new chats, unless the key is kept elsewhere (data_dir/secret.key, or server.secret_key).

    With SQLite the folder of the file needs room for the database twice for a while. With PostgreSQL any machine that reaches the
    database will do. What comes in after the backup is not in it: where losing that is too much, use PostgreSQL with a standby and
    continuous archiving, and this command beside it.
    """
    config = common.load()
    wish = Wish(url=database_url(config), data_dir=_absolute(config.data_dir), target=_absolute(file), with_key=with_key)
    manifest = await _by_whom_it_may(config, wish)
    say(f"{file}: {manifest.pos} events, {manifest.files} files, {await asyncio.to_thread(_size, file) / _MIB:.1f} MiB.")
    if manifest.missing_files:
        lost = len(manifest.missing_files)
        complain(f"sportello: {lost} files of people are missing or damaged in {config.data_dir}/media; the manifest names them.")
    if with_key and not manifest.key:
        complain(f"sportello: there is no {config.data_dir}/secret.key; a key that is configured has to be kept with the configuration.")


async def _by_whom_it_may(config: Config, wish: Wish) -> Manifest:
    """SQLite has one process: while the gateway runs, it has to do it."""
    progress = _Progress()
    if engine_of(wish.url) == "sqlite":
        order = Order("backup", {"path": str(wish.target), "with_key": wish.with_key})
        watch = asyncio.create_task(progress.watch(wish.target.with_name(wish.target.name + ".part")))
        try:
            done: Any = await send_order(Path(config.data_dir), order, _LONGEST)
            return msgspec.convert(done, Manifest)
        except TimeoutError as error:
            raise AdminError("the running gateway did not answer in time") from error
        except OSError:
            pass  # none runs
        finally:
            watch.cancel()
    try:
        return await back_up(wish, report=progress.count)
    except StorageError as error:
        if "is in use by process" in str(error):
            raise AdminError(f"{error}. If that is a gateway that is just starting, try again in a moment") from error
        raise


async def restore(
    file: Annotated[Path, Parameter(help="A file made by: sportello backup.")],
    *,
    to: Annotated[
        str | None,
        Parameter(name="--to", help="Database to restore into: sqlite:///absolute/path or postgresql://…; else the configured one."),
    ] = None,
    force: Annotated[bool, Parameter(name="--force", negative="", help="Also replace a database that holds events.")] = False,
    common: Common = STANDARD,
) -> None:
    """Bring back what a backup holds, into an empty database. The gateway has to be stopped.

    The whole file is read and compared with its manifest before anything is changed, and what is then done is done wholly or not at
    all. A backup of an older version is brought up to date; one of a newer version is refused. A database that holds events is
    refused; with --force it is replaced (a SQLite file is kept under another name, the rows of a PostgreSQL database are gone).

    Afterwards nothing is sent until you say so: what the restored database believes to be waiting may have been sent after the backup
    was made, and sending it again would reach people twice. What comes in is taken as always; what providers deliver a second time
    is recognised. Look at "sportello outbox status", then say "sportello outbox release", for old replies with --drop-older-than.

    A database that was brought back by other means (a copied file, a snapshot of a disk, point-in-time recovery) cannot be recognised:
    then say "sportello outbox hold" before you start the gateway.
    """
    config = common.load()
    url = to or database_url(config)
    home = home_of(url, _absolute(config.data_dir), elsewhere=to is not None)
    progress = _Progress()
    done = await bring_back(_absolute(file), url, home, force=force, report=progress.count)
    made = done.manifest
    say(f"{without_password(url)}: {made.pos} events and {made.files} files, as of {made.created_at:%Y-%m-%d %H:%M} UTC.")
    for note in done.notes:
        say(note)
    say("Sending is held. See what waits by: sportello outbox status. Then: sportello outbox release")


def _absolute(path: Path | str) -> Path:
    return Path(path).absolute()


def _size(path: Path) -> int:
    return path.stat().st_size


class _Progress:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._bytes = 0
        self._next = monotonic() + 2.0

    def count(self, number: int) -> None:
        self._bytes += number
        self._tell()

    async def watch(self, path: Path) -> None:
        while True:
            await asyncio.sleep(1.0)
            with suppress(OSError):
                self._bytes = await asyncio.to_thread(_size, path)
                self._tell()

    def _tell(self) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + 2.0
            sys.stderr.write(f"{self._bytes / _MIB:.0f} MiB …\n")
            sys.stderr.flush()
