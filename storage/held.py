"""Settings by which an installation knows that its database is not what it was: see ``gateway.held``.

After a database was brought back from a backup, replies that it believes to be waiting may have been sent long ago.
"""

from typing import Final

#: Why no reply is sent until an operator says so; no such setting: replies are sent.
SENDING_HELD: Final = "sending_held"
#: Which database server the rows were last used on, see ``storage.backup.incarnation``.
INCARNATION: Final = "incarnation"
