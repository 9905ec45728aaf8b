"""What names, labels, addresses and hosts may look like, in the words of apimachinery's `util/validation`.

Each function returns what is wrong with a text, or the empty string. Pure; the rules of the kinds call it.
"""

from __future__ import annotations

import ipaddress
import re

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL_LENGTH, SUBDOMAIN_LENGTH, PORT_NAME_LENGTH, MAX_PORT = 63, 253, 15, 65_535

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def label_fault(text: str) -> str:
    """What keeps `text` from being an RFC 1123 label."""
    if len(text) > LABEL_LENGTH:
        return f"must be no more than {LABEL_LENGTH} characters"
    return "" if LABEL.fullmatch(text) else LABEL_TEXT


def subdomain_fault(text: str) -> str:
    """What keeps `text` from being an RFC 1123 subdomain."""
    if len(text) > SUBDOMAIN_LENGTH:
        return f"must be no more than {SUBDOMAIN_LENGTH} characters"
    return "" if SUBDOMAIN.fullmatch(text) else SUBDOMAIN_TEXT


def path_segment_fault(text: str) -> str:
    """What keeps `text` from being a path segment: the rule for names of RBAC objects."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    return next((f"may not contain '{char}'" for char in "/%" if char in text), "")


def qualified_name_fault(text: str) -> str:
    """What keeps `text` from being `name` or `prefix/name`: the rule for keys of labels and annotations."""
    prefix, slash, name = text.rpartition("/")
    if slash and (fault := subdomain_fault(prefix) if prefix else "must be non-empty"):
        return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > LABEL_LENGTH:
        return f"name part must be no more than {LABEL_LENGTH} characters"
    return "" if NAME_PART.fullmatch(name) else NAME_PART_TEXT


def label_value_fault(text: str) -> str:
    """What keeps `text` from being the value of a label."""
    if len(text) > LABEL_LENGTH:
        return f"must be no more than {LABEL_LENGTH} characters"
    return "" if VALUE.fullmatch(text) else VALUE_TEXT


def port_fault(number: int) -> str:
    """What keeps `number` from being a port."""
    return "" if 1 <= number <= MAX_PORT else f"must be between 1 and {MAX_PORT}, inclusive"


def port_name_fault(text: str) -> str:
    """What keeps `text` from being the name of a container port (IANA service name)."""
    if len(text) > PORT_NAME_LENGTH:
        return f"must be no more than {PORT_NAME_LENGTH} characters"
    if not PORT_NAME.fullmatch(text) or "--" in text:
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    return "" if re.search("[a-z]", text) else "must contain at least one letter (a-z)"


def is_address(text: str) -> bool:
    """Whether `text` is an IP address without leading zeros or a zone."""
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def is_cidr(text: str) -> bool:
    """Whether `text` is a network in CIDR form; host bits may be set."""
    try:
        return "/" in text and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False
