"""The errors of the API with their codes and texts, as the server's own source words them."""

from __future__ import annotations


class Refusal(Exception):
    """An error answer: the HTTP status is the error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def invalid(text: str) -> Refusal:
    """A parameter that cannot be."""
    return Refusal(431, text)


def conflict(text: str) -> Refusal:
    """A network rule in the way."""
    return Refusal(537, text)


def unknown_id(parameter: str, value: str) -> Refusal:
    """The text for an id that names nothing visible."""
    return invalid(
        f"Invalid parameter {parameter} value={value} due to incorrect long value format, or entity does not exist "
        "or due to incorrect parameter annotation for the field in api cmd class."
    )


def unavailable(command: str) -> Refusal:
    """The text for a command that the account's role lacks."""
    return Refusal(432, f"The API [{command}] does not exist or is not available for the account Account [lbctl].")
