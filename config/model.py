"""All settings: frozen structs, one per section of the file. Each field has its default, its unit and a line of help.

The help is data (``Meta.description``), so that the reference, ``env.example`` and ``sportello settings`` say the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from config.address import origin_of
from config.secret import Secret


def _help(text: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=text, extra={"unit": unit}, **limits)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: an unknown key is an error."""


class Server(Section, frozen=True, kw_only=True):
    """Where the gateway listens, and how the world sees it."""

    host: Annotated[str, _help("Address to listen on; 0.0.0.0 for all of IPv4.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, _help("Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8080
    public_url: Annotated[
        str, _help("Address by which providers and browsers reach the gateway, for example https://chat.example.org; empty: host and port.")
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], _help("Addresses or networks of reverse proxies whose X-Forwarded-For is believed, for example 10.0.0.0/8.")
    ] = ()
    drain: Annotated[
        float,
        _help(
            "When told to stop, say so at /readyz for so long before connections are refused, that a load balancer turns away.",
            "seconds",
            ge=0,
            le=60,
        ),
    ] = 0.0
    max_body: Annotated[int, _help("Largest body of a request other than an upload.", "bytes", ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    secret_key: Annotated[
        Secret, _help("Signs cursors and visitors' tokens; at least 32 characters. Empty: made once, kept in data_dir/secret.key.")
    ] = Secret("")


class Storage(Section, frozen=True, kw_only=True):
    """Where everything is kept."""

    url: Annotated[
        Secret,
        _help(
            "Database: sqlite:///var/sportello/sportello.db, or postgresql://user:password@host/name for several nodes; "
            "empty: sportello.db in data_dir."
        ),
    ] = Secret("")


class Bus(Section, frozen=True, kw_only=True):
    """What nodes tell each other. It makes things quick; nothing is lost without it."""

    url: Annotated[
        Secret,
        _help(
            "Redis or Valkey, for several nodes on one PostgreSQL: redis://user:password@host/0, rediss:// with TLS, "
            "redis+sentinel://host1,host2/service, redis+cluster://host; empty: none."
        ),
    ] = Secret("")


class Node(Section, frozen=True, kw_only=True):
    """What this process does, when several share one PostgreSQL."""

    id: Annotated[str, _help("Its name in lists and logs; empty: the name of the machine.", max_length=64)] = ""
    roles: Annotated[
        tuple[Literal["edge", "router", "sender"], ...],
        _help("edge: web server for providers, agents and visitors; router: gives work to agents; sender: sends replies.", min_length=1),
    ] = ("edge", "router", "sender")
    processes: Annotated[
        int, _help("How many processes to run on this machine, all on one port; more than 1 needs PostgreSQL.", ge=1, le=64)
    ] = 1
    slot: Annotated[
        int, _help("Number of this process among those that share data_dir; with processes the gateway counts them itself.", ge=0, le=63)
    ] = 0
    metrics_port: Annotated[
        int,
        _help(
            "Port of 127.0.0.1 for /metrics and /healthz of the process with slot 0; slot 1 has the next one, and so on; 0: none.",
            ge=0,
            le=65472,
        ),
    ] = 0


class Spool(Section, frozen=True, kw_only=True):
    """What providers deliver while a shared database is away is kept on this machine's disk, and handed on when it is back."""

    max_bytes: Annotated[int, _help("Largest size of the spool; then providers have to try later.", "bytes", ge=1024 * 1024)] = 2 * 1024**3
    min_free_percent: Annotated[int, _help("Part of the disk that the spool leaves free.", "percent", ge=0, le=90)] = 10
    after: Annotated[float, _help("The database has so long to take an event before the spool takes it.", "seconds", gt=0, le=10)] = 1.0


class Media(Section, frozen=True, kw_only=True):
    """Files that people send."""

    max_bytes: Annotated[int, _help("Largest file that is fetched or uploaded.", "bytes", ge=1024)] = 25 * 1024 * 1024
    allow_private_hosts: Annotated[
        tuple[str, ...], _help("host:port pairs from which media may be fetched although they are private, for example a simulator.")
    ] = ()
    scanner: Annotated[
        str,
        _help("ClamAV that looks at each file before anybody gets it: clamd://host:3310 or clamd:///run/clamav/clamd.ctl; empty: nobody."),
    ] = ""
    origin: Annotated[
        str,
        _help("Another address of this gateway, which serves people's files and nothing else: https://files.example.org; empty: its own."),
    ] = ""


class Routing(Section, frozen=True, kw_only=True):
    """Rules for the whole installation."""

    reopen_within: Annotated[
        int, _help("A shopper who comes back within this time continues the resolved conversation.", "seconds", ge=0)
    ] = 24 * 3600
    reply_life: Annotated[int, _help("A reply that could not be sent within this time expires.", "seconds", ge=1)] = 24 * 3600
    away_after: Annotated[
        int, _help("An agent who is online, and whose inbox has been closed for so long, is set offline; 0: never.", "seconds", ge=0)
    ] = 120


class Log(Section, frozen=True, kw_only=True):
    """What the gateway says about itself, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _help("Least important lines that are written.")] = "info"
    format: Annotated[Literal["auto", "json", "console"], _help("auto: console on a terminal, else json.")] = "auto"
    bodies: Annotated[bool, _help("false: the channels' log keeps no bodies, so nothing that people wrote.")] = True


class ChannelConfig(Section, frozen=True, kw_only=True):
    """What every channel has; the other keys of its section belong to its connector, see below."""

    kind: Annotated[str, _help("Name of the connector, for example telegram or webchat.", min_length=1)]
    title: Annotated[str, _help("What agents call it; empty: its id.")] = ""
    enabled: Annotated[bool, _help("false: nothing is received or sent.")] = True
    queue: Annotated[str, _help("Name of the queue where its conversations start; empty: the default queue.")] = ""
    #: Filled by the loader with the connector's own keys, as written; ``gateway.wiring`` has the connector decode them.
    settings: Mapping[str, Any] = field(default_factory=dict)


class Source(Struct, frozen=True, kw_only=True):
    """Where a value was said: for error messages."""

    #: ``sportello.toml, line 3``, ``environment variable SPORTELLO__SERVER__PORT`` or ``flag --port``.
    place: str
    #: Plain text that still has to become a number, a list, … (environment and flags); values in the file have their type.
    text: bool = False


class Config(Section, frozen=True, kw_only=True):
    """Everything that the operator says."""

    data_dir: Annotated[str, _help("Folder for the database, files and keys.", min_length=1)] = "var/sportello"
    server: Server = field(default_factory=Server)
    storage: Storage = field(default_factory=Storage)
    bus: Bus = field(default_factory=Bus)
    node: Node = field(default_factory=Node)
    spool: Spool = field(default_factory=Spool)
    media: Media = field(default_factory=Media)
    routing: Routing = field(default_factory=Routing)
    log: Log = field(default_factory=Log)
    #: By id: the name of the section ``[channels.<id>]``.
    channels: Mapping[str, ChannelConfig] = field(default_factory=dict)
    #: Filled by the loader: dotted key -> where it was said.
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def file_origin(self) -> str:
        """The origin that serves people's files, and nothing else; empty if it is the gateway's own."""
        return origin_of(self.media.origin)

    @property
    def public_url(self) -> str:
        """The gateway's own address without a slash at the end; never taken from a request."""
        if self.server.public_url:
            return self.server.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.server.host, self.server.host)  # noqa: S104 - replaced, not bound
        return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{self.server.port}"
