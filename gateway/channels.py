"""From the configuration's ``[channels.*]`` to connectors with decoded settings. Opens nothing, so ``sportello check`` uses it too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from config import ChannelConfig, Config, ConfigError, Problem, Secret
from config.decode import decode_section, source_of
from connectors.contract import ClientContext, Connector
from connectors.errors import ConnectorError, UnknownConnector
from connectors.registry import load_connector
from gateway.services import Channel
from routing.rules import ChannelRules


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChannel:
    """A channel that could be opened."""

    id: str
    section: ChannelConfig
    connector: Connector[Any]
    #: An instance of ``connector.settings``.
    settings: Any

    def open(self, context: ClientContext) -> Channel:
        """With its client; to be called within a running event loop."""
        return Channel(
            id=self.id,
            title=self.section.title or self.id,
            enabled=self.section.enabled,
            connector=self.connector,
            settings=self.settings,
            client=self.connector.client(self.settings, context),
        )

    @property
    def rules(self) -> ChannelRules:
        able = self.connector.able(self.settings)
        return ChannelRules(
            queue=self.section.queue,
            sends=able.sends,
            windows=able.windows,
            public=able.public,
            limits=able.limits,
            flood=self.connector.flood(self.settings),
        )


def plan_channels(config: Config) -> list[PlannedChannel]:
    """All channels, the disabled ones too. Raises ConfigError with the problems of all of them, each naming its channel."""
    planned: list[PlannedChannel] = []
    problems: list[Problem] = []
    for id_, section in config.channels.items():
        path = ("channels", id_)
        try:
            connector = load_connector(section.kind)
            settings = decode_section(connector.settings, section.settings, path, config.sources)
        except ConfigError as error:
            problems.extend(error.problems)
        except UnknownConnector as error:
            place = source_of((*path, "kind"), config.sources).place
            problems.append(Problem(key=f"channels.{id_}.kind", place=place, what=str(error), remedy="Correct the kind."))
        except (ConnectorError, ImportError) as error:
            place = source_of((*path, "kind"), config.sources).place
            problems.append(Problem(key=f"channels.{id_}", place=place, what=str(error), remedy="Reinstall the connector's package."))
        else:
            planned.append(PlannedChannel(id=id_, section=section, connector=connector, settings=settings))
    problems.extend(_twins(planned, config))
    problems.extend(_unmailable(planned, config))
    if problems:
        raise ConfigError(problems)
    return planned


def _twins(planned: list[PlannedChannel], config: Config) -> Iterator[Problem]:
    """Two channels for one account of a provider's: nobody could say whose a message is."""
    first: dict[tuple[str, str], str] = {}
    for plan in planned:
        account = plan.connector.account(plan.settings) if plan.section.enabled else ""
        if not account:
            continue
        twin = first.setdefault((plan.connector.kind, account), plan.id)
        if twin != plan.id:
            what = f"the channel {twin!r} has the same account of {plan.connector.kind} already: {account}"
            place = source_of(("channels", plan.id, "kind"), config.sources).place
            yield Problem(key=f"channels.{plan.id}", place=place, what=what, remedy="Remove one of the two, or set enabled = false.")


def _unmailable(planned: list[PlannedChannel], config: Config) -> Iterator[Problem]:
    """Chats that shall go on by mail, where they cannot."""
    mails = {plan.id: plan for plan in planned if plan.connector.kind == "email"}
    for plan in planned:
        name = getattr(plan.settings, "mail_channel", "")
        if not name:
            continue
        mail = mails.get(name)
        if mail is None:
            what = f"there is no e-mail channel {name!r}"
        elif not mail.section.enabled:
            what = f"the channel {name!r} is not enabled"
        elif mail.settings.smtp is None or not mail.settings.reply_address:
            what = f"the channel {name!r} needs smtp and reply_address: nothing could be sent, or no answer would find its way back"
        else:
            continue
        place = source_of(("channels", plan.id, "mail_channel"), config.sources).place
        remedy = "Name an enabled channel of kind email that has both, or leave mail_channel out."
        yield Problem(key=f"channels.{plan.id}.mail_channel", place=place, what=what, remedy=remedy)


def secrets_in(value: Any) -> Iterator[Secret]:
    """Every secret within a settings struct, so that logs can mask them."""
    if isinstance(value, Secret):
        if value:
            yield value
    elif isinstance(value, Struct):
        for inner in msgspec.structs.asdict(value).values():
            yield from secrets_in(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for inner in value:
            yield from secrets_in(inner)
