"""The gateway's own secret key: given by the operator, or made once and kept beside the data; several nodes keep it in their database."""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Final

from config import Secret
from storage.errors import Unavailable
from storage.protocol import Store, Transaction

SETTING: Final = "secret_key"
FILE: Final = "secret.key"
_BYTES: Final = 32


class LateKey(Secret):
    """A key that only the database knows, while that is away: whoever needs it hears Unavailable."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("")

    def reveal(self) -> str:
        """See ``Secret``. Raises Unavailable."""
        if not self._value:
            raise Unavailable("the secret key is in the database, which is away")
        return self._value

    def learn(self, key: Secret) -> None:
        """From now on it is known."""
        self._value = key.reveal()


class BadKey(Exception):
    """The key file cannot be used; the message says what to do."""


async def secret_key(given: Secret, store: Store, data_dir: Path) -> Secret:
    """The key to use. Raises BadKey, StorageError."""
    if given:
        return given
    if not store.shared:
        return await asyncio.to_thread(_in_folder, data_dir)
    fresh = secrets.token_hex(_BYTES)

    async def agree(tx: Transaction) -> str:
        known = await tx.settings.get(SETTING)
        if not known:
            await tx.settings.put(SETTING, fresh)
        return known or fresh

    return Secret(await store.transact(agree))


def _in_folder(data_dir: Path) -> Secret:
    """The key in ``data_dir/secret.key``, made if there is none."""
    path = data_dir / FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise BadKey(f"{path} cannot be made ({error.strerror}): the folder has to be ours to write") from error
    key = secrets.token_hex(_BYTES)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return Secret(key)


def _read(path: Path) -> Secret:
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"{path} cannot be read: it has to be a text file that belongs to the user who runs Sportello") from error
    if len(key) < _BYTES:
        raise BadKey(f"{path} holds fewer than {_BYTES} characters: remove it and a new key is made (visitors begin new chats then)")
    return Secret(key)
