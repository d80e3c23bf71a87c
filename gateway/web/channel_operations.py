"""The agents' API: what concerns channels."""

from typing import Final

from gateway.web import channel_log, channels, reconcile, templates
from gateway.web.access import ADMINS, SUPERVISORS
from gateway.web.route import Route
from gateway.web.shapes import ChannelView, Page, QuarantineView
from storage.interaction import Interaction

#: Part of ``operations.ROUTES``.
CHANNEL_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/channels",
        handler=channels.list_channels,
        summary="List channels and what they can carry",
        tag="Channels",
        response=Page[ChannelView],
    ),
    Route(
        method="GET",
        path="/channels/{id}/log",
        handler=channel_log.read_log,
        summary="Read what a channel and its provider said to each other lately, newest first",
        tag="Channels",
        query=channel_log.LogQuery,
        response=Page[Interaction],
        roles=SUPERVISORS,
    ),
    Route(
        method="GET",
        path="/quarantine",
        handler=channels.list_quarantine,
        summary="List payloads that could not be read",
        tag="Channels",
        query=channels.QuarantineQuery,
        response=Page[QuarantineView],
        roles=ADMINS,
        errors=("bad_cursor",),
    ),
    Route(
        method="GET",
        path="/reconcile",
        handler=reconcile.reconcile,
        summary="Does everything that came in add up?",
        tag="Channels",
        query=reconcile.ReconcileQuery,
        response=reconcile.ReconcileAnswer,
        roles=ADMINS,
    ),
    Route(
        method="GET",
        path="/channels/{id}/templates",
        handler=templates.list_templates,
        summary="List what the provider has approved",
        tag="Channels",
        query=templates.TemplateQuery,
        response=templates.TemplateList,
        errors=("no_templates", "provider_away"),
    ),
)
