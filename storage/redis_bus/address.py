"""What a bus URL says.

    redis://[user:password@]host[:6379][/database]            one server
    redis+cluster://[user:password@]host[:6379][,host …]      a cluster, found by any of its nodes (also ``redis://…?cluster=true``)
    redis+sentinel://[user:password@]host[:26379][,host …]/service[?db=0]

``rediss`` instead of ``redis`` is TLS, checked against the system's authorities or ``ca``. User and password are percent-encoded.
Options, after ``?`` and between ``&``:

    prefix             what all keys and channels begin with, [sportello]; two installations on one server need two
    keep               newest events kept per partition, about, [10000]; an event of 1 kB takes about 1.2 kB, and there are 16 partitions
    timeout            seconds after which a server counts as away, [0.5]
    ca, cert, key      files in PEM: authority, and our own certificate and key
    sentinel_user, sentinel_password
    db, cluster        as above

A user limited by an access list needs ``~sportello:* &sportello:* +@connection +eval +@read +@write +@pubsub +time`` (and ``+cluster``).
"""

from enum import StrEnum
from typing import Final, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from config.secret import Secret
from storage.errors import StorageError

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_OPTIONS: Final = frozenset({"prefix", "keep", "timeout", "ca", "cert", "key", "sentinel_user", "sentinel_password", "db", "cluster"})


class Kind(StrEnum):
    SINGLE = "single"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


class Host(Struct, frozen=True):
    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Login(Struct, frozen=True):
    user: str = ""
    password: Secret = Secret("")


class Address(Struct, frozen=True, kw_only=True):
    """A bus URL, understood. Its repr has no password."""

    kind: Kind
    hosts: tuple[Host, ...]
    login: Login = Login()
    sentinel_login: Login = Login()
    #: Of a Sentinel.
    service: str = ""
    database: int = 0
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    prefix: str = "sportello"
    keep: int = 10_000
    timeout: float = 0.5

    def __str__(self) -> str:
        hosts = ", ".join(map(str, self.hosts))
        return {Kind.SINGLE: hosts, Kind.CLUSTER: f"the cluster of {hosts}", Kind.SENTINEL: f"{self.service} of the Sentinels {hosts}"}[
            self.kind
        ]


def read_url(url: str) -> Address:
    """Understand ``url``. Raises StorageError, never with the password in its message."""
    scheme, _, rest = url.partition("://")
    base, _, extra = scheme.partition("+")
    if base not in {"redis", "rediss"} or extra not in {"", *Kind} or not rest:
        _refuse(f"its scheme is {scheme[:40]!r}; use redis://, redis+cluster:// or redis+sentinel://, or rediss for TLS")
    parts = _split(rest)
    if parts is None:
        _refuse("it is no URL: check its brackets")
    if parts.fragment:
        _refuse("it has a part after '#': write '#' in a password as %23")
    options = _options(parts.query)
    kind = Kind(extra or Kind.SINGLE)
    if kind is Kind.SINGLE and _flag(options, "cluster"):
        kind = Kind.CLUSTER
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path = unquote(parts.path.strip("/"))
    if kind is Kind.SENTINEL and not path:
        _refuse("it names no service: redis+sentinel://host1,host2/service")
    database = _number(
        options.get("db", "0") if kind is Kind.SENTINEL else path or options.get("db", "0"), "the database number", 0, 1_000_000
    )
    if kind is Kind.CLUSTER and database:
        _refuse("a cluster has no numbered databases: leave the number out")
    prefix = options.get("prefix", "sportello")
    if not (prefix.replace("-", "").replace("_", "").isalnum() and prefix.isascii() and len(prefix) <= 64):
        _refuse("prefix is up to 64 letters, digits, '-' and '_'")
    return Address(
        kind=kind,
        hosts=_hosts(hosts, kind),
        login=Login(unquote(user), Secret(unquote(password))),
        sentinel_login=Login(options.get("sentinel_user", ""), Secret(options.get("sentinel_password", ""))),
        service=path if kind is Kind.SENTINEL else "",
        database=database,
        tls=base == "rediss",
        ca=options.get("ca", ""),
        cert=options.get("cert", ""),
        key=options.get("key", ""),
        prefix=prefix,
        keep=_number(options.get("keep", "10000"), "keep", 100, 10_000_000),
        timeout=_seconds(options.get("timeout", "0.5")),
    )


def _refuse(why: str) -> NoReturn:
    raise StorageError(f"the bus URL cannot be used: {why}")


def _split(rest: str) -> SplitResult | None:
    """None, as an exception would carry pieces of the URL into a log."""
    try:
        return urlsplit(f"redis://{rest}")
    except ValueError:
        return None


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in _OPTIONS:
            _refuse(f"unknown option {name[:40]!r}; there are {', '.join(sorted(_OPTIONS))}")
    return dict(pairs)


def _flag(options: dict[str, str], name: str) -> bool:
    value = options.get(name, "false")
    if value not in {"true", "false"}:
        _refuse(f"{name} is true or false")
    return value == "true"


def _number(text: str, what: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        _refuse(f"{what} is a whole number from {least} to {most}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 30:
        _refuse("timeout is a number of seconds from 0.05 to 30")
    return value


def _hosts(text: str, kind: Kind) -> tuple[Host, ...]:
    texts = [part.strip() for part in text.split(",")]
    if kind is Kind.SINGLE and len(texts) > 1:
        _refuse("it has several hosts; use redis+cluster:// or redis+sentinel://")
    found = []
    for part in texts:
        try:
            split = urlsplit(f"//{part}")
            name, port = split.hostname, split.port
        except ValueError:
            name, port = None, None
        if not name:
            _refuse("a host is name:port, for example redis://cache.example:6379; '@', ':', '/' in a password are percent-encoded")
        found.append(Host(name, port or (_SENTINEL_PORT if kind is Kind.SENTINEL else _PORT)))
    return tuple(found)
