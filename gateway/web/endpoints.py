"""The addresses outside the agents' API: providers, visitors, operators, pages, and the feed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from gateway.web import (
    chat,
    feed,
    file_origin,
    health,
    links,
    pages,
    public_files,
    remote_pictures,
    unsubscribe,
    visitor_door,
    visitor_files,
    visitor_http,
    visitor_mail,
    webhooks,
)
from gateway.web.route import PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address outside the agents' API: it speaks for itself."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    tag: str
    #: Status -> meaning.
    answers: dict[int, str]
    body: type[Any] | None = None
    response: type[Any] | None = None
    #: A page or file for browsers: not part of the API's description.
    hidden: bool = False


def _page(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Endpoint:
    return Endpoint(method="GET", path=path, handler=handler, summary="", tag="Pages", answers={}, hidden=True)


_HOOK_ANSWERS: Final = {
    200: "Taken: it is durable.",
    403: "Not from the provider.",
    404: "No such channel.",
    413: "Too large.",
    503: "Try again.",
}

#: The tag of what a node of any role answers.
OPERATORS: Final = "Operators"

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=f"{PREFIX}/feed",
        handler=feed.feed,
        tag="Feed",
        summary="Follow events from a position: WebSocket, or Server-Sent Events",
        answers={101: "WebSocket.", 200: "Server-Sent Events."},
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{channel}",
        handler=webhooks.webhook,
        summary="A provider delivers",
        tag="Providers",
        answers=_HOOK_ANSWERS,
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{channel}",
        handler=webhooks.webhook,
        summary="A provider checks the address",
        tag="Providers",
        answers=_HOOK_ANSWERS,
    ),
    Endpoint(
        method="GET",
        path="/files/{token}",
        handler=public_files.fetch,
        summary="A provider fetches a file that we send, by its signed address",
        tag="Providers",
        answers={200: "The bytes.", 404: "No such file, or no such link, or too late.", 429: "Too many."},
    ),
    Endpoint(
        method="HEAD",
        path="/files/{token}",
        handler=public_files.fetch,
        summary="What the file is",
        tag="Providers",
        answers={200: "The bytes.", 404: "No such file, or no such link, or too late.", 429: "Too many."},
    ),
    Endpoint(
        method="GET",
        path="/media/{token}",
        handler=file_origin.show,
        summary="A page fetches a file by its signed address, where files have an origin of their own",
        tag="Files",
        answers={200: "The bytes.", 404: "No such file, or no such link, or too late."},
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/sessions",
        handler=chat.new_session,
        summary="A visitor begins",
        tag="Visitors",
        answers={201: "The visitor's token."},
        body=chat.NewVisitor,
        response=chat.VisitorSession,
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/identify",
        handler=chat.identify,
        summary="A visitor turns out to be a user of the shop",
        tag="Visitors",
        answers={201: "A token for the user.", 401: "One of the two tokens is wrong."},
        body=chat.Identify,
        response=chat.VisitorSession,
    ),
    Endpoint(
        method="OPTIONS",
        path="/chat/v1/{channel}/{rest:.+}",
        handler=visitor_door.preflight,
        summary="May this page show the chat?",
        tag="Visitors",
        answers={204: "It may."},
    ),
    Endpoint(
        method="GET",
        path="/chat/v1/{channel}/socket",
        handler=chat.socket,
        summary="A visitor's WebSocket",
        tag="Visitors",
        answers={101: "WebSocket."},
    ),
    Endpoint(
        method="GET",
        path="/chat/v1/{channel}/events",
        handler=visitor_http.events,
        summary="The same frames as Server-Sent Events",
        tag="Visitors",
        answers={200: "Server-Sent Events.", 401: "No token of this chat."},
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/frames",
        handler=visitor_http.frames,
        summary="A visitor sends one frame",
        tag="Visitors",
        answers={200: "The frames that answer it.", 401: "No token of this chat.", 429: "Too many."},
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/files",
        handler=visitor_files.upload,
        summary="A visitor uploads a file",
        tag="Visitors",
        answers={201: "To be named in a message.", 401: "No token of this chat.", 413: "Too large.", 422: "Empty.", 429: "Too many."},
        response=visitor_files.UploadedFile,
    ),
    Endpoint(
        method="GET",
        path="/chat/v1/{channel}/files/{id}",
        handler=visitor_files.download,
        summary="A visitor fetches a file by its signed link",
        tag="Visitors",
        answers={200: "The bytes.", 404: "No such file, or no such link, or too late."},
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/transcript",
        handler=visitor_mail.transcript,
        summary="A visitor has their chat sent to the address that they gave",
        tag="Visitors",
        answers={
            202: "It is on its way.",
            401: "No token of this chat.",
            409: "No address, nothing to send, or sent within the last hour.",
            429: "Too many.",
        },
        body=visitor_mail.WantTranscript,
        response=visitor_mail.TranscriptUnderWay,
    ),
    Endpoint(
        method="GET",
        path="/pictures/{token}",
        handler=remote_pictures.show,
        summary="A mail's picture from afar, fetched by the gateway, by its signed address",
        tag="Pages",
        answers={200: "The picture.", 404: "No such address, not yours, or too late.", 429: "Too many.", 502: "No picture."},
    ),
    *(
        Endpoint(
            method=method,
            path="/unsubscribe/{token}",
            handler=handler,
            summary=summary,
            tag="Visitors",
            answers={200: "A page.", 400: "Not what a mail program sends.", 404: "No such link.", 429: "Too many."},
        )
        for method, handler, summary in (
            ("GET", unsubscribe.ask, "A page that asks whether no more mails are wanted; nothing is changed"),
            ("HEAD", unsubscribe.ask, "The same without the page"),
            ("POST", unsubscribe.confirm, "No more mails to this address (RFC 8058, one click)"),
        )
    ),
    Endpoint(
        method="POST",
        path="/chat/v1/{channel}/links",
        handler=links.go_on,
        summary="A visitor continues on another channel, and is known there",
        tag="Visitors",
        answers={
            201: "The address, good once and for a day.",
            401: "No token of this chat.",
            409: "Nothing was said yet.",
            422: "No link leads to that channel.",
            429: "Too many.",
            503: "The channel cannot be asked for its address now.",
        },
        body=links.NewLink,
        response=links.LinkAnswer,
    ),
    Endpoint(
        method="GET",
        path="/healthz",
        handler=health.healthz,
        summary="Is the process alive?",
        tag=OPERATORS,
        answers={200: "It is."},
        response=health.Health,
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        handler=health.readyz,
        summary="Can it work?",
        tag=OPERATORS,
        answers={200: "It can.", 503: "The database does not answer, or the gateway is about to stop."},
        response=health.Health,
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        handler=health.metrics,
        summary="Figures for Prometheus",
        tag=OPERATORS,
        answers={200: "Text in Prometheus' format."},
    ),
    _page("/", pages.root),
    _page("/inbox", pages.with_slash),
    _page("/inbox/{file:.*}", pages.inbox),
    _page("/{page:shop|phone}", pages.with_slash),
    _page("/{page:shop|phone}/{file:.*}", pages.demo_page),
    _page("/widget.js", pages.widget),
    _page("/favicon.ico", pages.favicon),
    _page("/api/docs", pages.docs),
    _page("/api/docs/{file:docs\\.(?:js|css)}", pages.docs),
)
