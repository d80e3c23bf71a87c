"""The agents' API: what concerns customers."""

from typing import Final

from gateway.web import customers, history, links
from gateway.web.route import Replay, Route
from gateway.web.shapes import CustomerAnswer, CustomerDetail, MessagePage

#: Part of ``operations.ROUTES``.
CUSTOMER_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/customers/{id}",
        handler=customers.get_customer,
        summary="Get a customer",
        tag="Customers",
        response=CustomerDetail,
    ),
    Route(
        method="GET",
        path="/customers/{id}/history",
        handler=history.list_customer_history,
        summary="Read a customer's history over all channels",
        tag="Customers",
        query=history.HistoryQuery,
        response=MessagePage,
    ),
    Route(
        method="POST",
        path="/customers/{id}/merge",
        handler=customers.merge,
        summary="Another customer is the same person",
        tag="Customers",
        body=customers.FromCustomer,
        response=CustomerAnswer,
        errors=("same",),
    ),
    Route(
        method="POST",
        path="/customers/{id}/unmerge",
        handler=customers.unmerge,
        summary="Undo a merge",
        tag="Customers",
        body=customers.FromCustomer,
        response=CustomerAnswer,
    ),
    Route(
        method="POST",
        path="/customers/{id}/links",
        handler=links.new_link,
        summary="Make a link by which the customer continues on another channel",
        tag="Customers",
        body=links.NewLink,
        response=links.LinkAnswer,
        status=201,
        replay=Replay.RERUN,
        errors=("no_link", "nothing_said"),
    ),
)
