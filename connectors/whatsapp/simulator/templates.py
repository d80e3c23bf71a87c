"""Templates that every simulated account has: one of each kind."""

from typing import Any, Final


def _template(number: int, name: str, language: str, *components: dict[str, Any], status: str = "APPROVED") -> dict[str, Any]:
    return {
        "id": str(1_689_556_908_000_000 + number),
        "name": name,
        "language": language,
        "status": status,
        "category": "UTILITY",
        "components": list(components),
    }


def _body(text: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text}


TEMPLATES: Final = (
    _template(1, "hello", "en", _body("Hello, how can we help you today?")),
    _template(2, "order_update", "en", _body("Hi {{1}}, your order {{2}} is on its way."), {"type": "FOOTER", "text": "Demo Shop"}),
    _template(3, "order_update", "it", _body("Ciao {{1}}, il tuo ordine {{2}} è in viaggio.")),
    _template(4, "pickup", "en", _body("Dear {{name}}, your parcel waits until {{day}}.")),
    _template(
        5,
        "receipt",
        "en",
        {"type": "HEADER", "format": "DOCUMENT"},
        _body("Your receipt, {{1}}."),
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "URL", "text": "Track", "url": "https://shop.example.org/orders/{{1}}"},
                {"type": "QUICK_REPLY", "text": "Stop"},
                {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550783881"},
            ],
        },
    ),
    _template(6, "shop_place", "en", {"type": "HEADER", "format": "LOCATION"}, _body("Come and see us.")),
    _template(7, "winter_sale", "en", {"type": "HEADER", "format": "TEXT", "text": "{{1}} off"}, _body("Only today."), status="PAUSED"),
    _template(8, "spring_sale", "en", _body("Soon."), status="PENDING"),
)
