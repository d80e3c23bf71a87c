"""What the gateway's own letters to visitors say, in each language that the chat speaks."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Words(Struct, frozen=True, kw_only=True):
    """The texts of one language; in braces stands what is put in."""

    subject: str
    #: Above what was answered, by ``who`` in the chat ``title``.
    answered: str
    #: Between the names of two who answered, and for who has none.
    between: str
    we: str
    you: str
    file: str
    named_file: str
    #: How many lines are left out.
    more: str
    go_on: str
    go_on_at: str
    not_me: str
    transcript: str
    cut: str
    #: In the place of what a visitor wrote whose address nothing proves.
    withheld: str


WORDS: Final[Mapping[str, Words]] = {
    "en": Words(
        subject="Your chat with us: {title}",
        answered="{who} answered in the chat “{title}” after you had left:",
        between=" and ",
        we="We",
        you="You",
        file="[a file]",
        named_file="[a file: {name}]",
        more="({count} more in the chat)",
        go_on="Answer this mail, or go on in the chat.",
        go_on_at="Answer this mail, or go on in the chat: {page}",
        not_me=(
            "You get this because somebody gave your address in our chat. If that was not you, answer with the one word STOP:"
            " no more of these mails will come, and nobody in that chat learns anything about you."
        ),
        transcript="What was said in the chat “{title}”, as asked for there:",
        cut="(What was said before is left out.)",
        withheld="[left out, because this address has not been confirmed yet]",
    ),
    "it": Words(
        subject="La tua chat con noi: {title}",
        answered="{who} ha risposto nella chat “{title}” quando non c’eri più:",
        between=" e ",
        we="Il negozio",
        you="Tu",
        file="[un file]",
        named_file="[un file: {name}]",
        more="(altri {count} messaggi nella chat)",
        go_on="Rispondi a questa e-mail, oppure continua nella chat.",
        go_on_at="Rispondi a questa e-mail, oppure continua nella chat: {page}",
        not_me=(
            "Ricevi questa e-mail perché qualcuno ha indicato il tuo indirizzo nella nostra chat. Se non sei stato tu, rispondi con la sola"
            " parola STOP: non ne arriveranno altre, e nessuno in quella chat saprà nulla di te."
        ),
        transcript="Quello che è stato detto nella chat “{title}”, come richiesto lì:",
        cut="(Quello che è stato detto prima è omesso.)",
        withheld="[omesso, perché questo indirizzo non è ancora confermato]",
    ),
    "pl": Words(
        subject="Twoja rozmowa z nami: {title}",
        answered="{who} – odpowiedź na czacie „{title}” po Twoim wyjściu:",
        between=" i ",
        we="Sklep",
        you="Ty",
        file="[plik]",
        named_file="[plik: {name}]",
        more="(na czacie jest więcej wiadomości: {count})",
        go_on="Odpowiedz na tę wiadomość albo wróć do rozmowy na czacie.",
        go_on_at="Odpowiedz na tę wiadomość albo wróć do rozmowy na czacie: {page}",
        not_me=(
            "Otrzymujesz tę wiadomość, ponieważ ktoś podał Twój adres na naszym czacie. Jeśli to nie Ty, odpowiedz jednym słowem STOP:"
            " więcej takich wiadomości nie będzie, a nikt na tym czacie niczego się o Tobie nie dowie."
        ),
        transcript="Przebieg rozmowy na czacie „{title}”, wysłany na prośbę z czatu:",
        cut="(Wcześniejsze wiadomości pominięto.)",
        withheld="[pominięto, bo ten adres nie został jeszcze potwierdzony]",
    ),
}


def words_for(language: str) -> Words:
    """Those of a BCP 47 tag, as far as we speak it; else English."""
    return WORDS.get(language.replace("_", "-").partition("-")[0].lower(), WORDS["en"])
