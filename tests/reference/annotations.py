"""The page of all annotations and of what each driver can do, from the drivers' tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lbctl.annotations import Annotation
from lbctl.driver import DriverInfo
from lbctl.registry import find_provider, known_providers
from tests.reference.markdown import code, codes, page, table

ABILITIES: tuple[tuple[str, Callable[[DriverInfo], str]], ...] = (
    ("protocols", lambda info: ", ".join(sorted(info.capabilities.protocols))),
    ("several protocols in one Service", lambda info: _yes(info.capabilities.mixed_protocols)),
    ("IP families", lambda info: ", ".join(info.capabilities.families)),
    ("dual stack", lambda info: _yes(info.capabilities.dual_stack)),
    ("`loadBalancerSourceRanges`", lambda info: _yes(info.capabilities.source_ranges)),
    ("`sessionAffinity: ClientIP`", lambda info: info.capabilities.affinity.value.replace("none", "-")),
    ("works without node ports", lambda info: _yes(not info.capabilities.needs_node_ports)),
    ("PROXY protocol", lambda info: _yes(info.capabilities.proxy_protocol)),
    ("several Services on one address", lambda info: _yes(info.capabilities.shared_address)),
    ("a requested address", lambda info: _yes(info.capabilities.requested_address)),
)


def annotations_page() -> str:
    """Abilities, the support matrix, then every annotation of each driver."""
    infos = [find_provider(name) for name in known_providers()]
    names = [info.name for info in infos]
    return page(
        "Annotations",
        "`lbctl annotations KEY` shows the same in the terminal, and `lbctl check -f FILE` validates Services against "
        "it without a cluster. A value that does not fit is told with all others at once; an unknown key under a "
        "prefix of the driver is told as well, with the nearest known key.",
        "## What each driver can do",
        "What a driver cannot do is refused with a sentence on the Service, or told in a Warning; it is never left "
        "out silently.",
        table(("", *names), ((what, *(ability(info) for info in infos)) for what, ability in ABILITIES)),
        "## Which driver knows which annotation",
        table(("annotation", *names), _matrix(infos)),
        *(block for info in infos for block in _driver(info)),
    )


def _matrix(infos: Iterable[DriverInfo]) -> Iterator[tuple[str, ...]]:
    known = {info.name: {annotation.key for annotation in info.annotations} for info in infos}
    for key in sorted(set().union(*known.values())):
        yield code(key), *("yes" if key in keys else "" for keys in known.values())


def _driver(info: DriverInfo) -> Iterator[str]:
    yield f"## {info.name}"
    classes = codes(info.served_classes)
    yield f"{info.summary}. Serves the classes {classes}, and Services without one where it is the default."
    columns = ("annotation", "value", "default", "what", "on change", "from")
    yield table(columns, (_annotation(annotation) for annotation in info.annotations))


def _annotation(annotation: Annotation) -> tuple[str, ...]:
    notes = [annotation.doc]
    if annotation.modes:
        notes.append(f"Only for {', '.join(annotation.modes)}.")
    if annotation.deprecated:
        notes.append(f"Deprecated: {annotation.deprecated}")
    return (
        code(annotation.key),
        annotation.kind.grammar,
        code(annotation.written_default) if annotation.written_default else "-",
        " ".join(notes),
        annotation.on_change,
        annotation.source,
    )


def _yes(able: bool) -> str:
    return "yes" if able else "-"
