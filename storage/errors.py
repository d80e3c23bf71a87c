"""What a store can refuse.

    StorageError
    ├── NotFound         no such row
    ├── Conflict         a constraint or an expected value says no; nothing was written
    │   └── Superseded   another node does this now; nothing was written
    ├── Unavailable      the database cannot be written or read now; nothing was written, try again
    └── SchemaError      the database is not ours, is newer, or its file is damaged: refuse to start

Driver exceptions never leave a back-end; they are the ``__cause__`` of one of these.
"""


class StorageError(Exception):
    """Base of all storage errors."""


class NotFound(StorageError):
    """No such row."""


class Conflict(StorageError):
    """A constraint or an expected value says no; nothing was written."""


class Superseded(Conflict):
    """Another node has the duty now, or has moved the cursor; nothing was written. Leave it to them."""


class Unavailable(StorageError):
    """The database cannot be reached or written now; nothing was written. Try again."""


class SchemaError(StorageError):
    """The database is not Sportello's, is newer than this program, or is damaged. The message says which and what to do."""
