"""The annotations of the `local` driver, as data: parser, validation and reference page come from this table.

`parse.py` reads the values by `name`; nothing here knows Envoy's configuration.
"""

from __future__ import annotations

from lbctl.annotations import OUR_PREFIX, Annotation, AnnotationTable
from lbctl.grammar import Boolean, Choice, Integer, Text

ALGORITHMS = ("round-robin", "random", "least-request", "maglev")
TARGET_TYPES = ("node", "ip")
PROXY_PROTOCOLS = ("v1", "v2")
CHECK_PROTOCOLS = ("tcp", "http", "none")
SOURCE = "lbctl"

ANNOTATIONS = AnnotationTable(
    (
        Annotation(
            key=f"{OUR_PREFIX}algorithm",
            name="algorithm",
            kind=Choice(ALGORITHMS),
            default="round-robin",
            doc="How a target is chosen for a new connection; `maglev` sends a client's address to the same target.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}target-type",
            name="target_type",
            kind=Choice(TARGET_TYPES),
            default="node",
            doc="`node` sends to the node ports of all nodes, `ip` straight to the ready endpoints of the Service.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}proxy-protocol",
            name="proxy_protocol",
            kind=Choice(PROXY_PROTOCOLS),
            default="",
            doc="Tells TCP targets the client's address by a PROXY protocol header of this version.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}idle-timeout",
            name="idle_seconds",
            kind=Integer(1, 86_400),
            default=None,
            doc="Seconds without a byte after which a TCP connection (default 3600) or UDP session (default 60) ends.",
            on_change="new connections",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}max-connections",
            name="max_connections",
            kind=Integer(1, 1_000_000),
            default=0,
            doc="Most concurrent TCP connections per port; one more is closed at once. Unlimited by default.",
            on_change="new connections",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}access-log",
            name="access_log",
            kind=Boolean(),
            default=False,
            doc="Writes one JSON line a finished connection to `access/<balancer>.log` in the state directory.",
            on_change="new connections",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-protocol",
            name="check_protocol",
            kind=Choice(CHECK_PROTOCOLS),
            default="",
            doc="How targets are checked. Default: HTTP for traffic policy Local, none for target type `ip`, else TCP.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-port",
            name="check_port",
            kind=Integer(1, 65_535),
            default=0,
            doc="Port of the check. Default: the health-check node port for policy Local, else the target's own port.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-path",
            name="check_path",
            kind=Text(r"/[^\s]*", "a path that starts with /"),
            default="/healthz",
            doc="Path of an HTTP check; any 200 is healthy.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-interval",
            name="check_interval",
            kind=Integer(1, 300),
            default=10,
            doc="Seconds between two checks of a target.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-timeout",
            name="check_timeout",
            kind=Integer(1, 60),
            default=2,
            doc="Seconds after which a check without an answer has failed.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-healthy-threshold",
            name="check_healthy_after",
            kind=Integer(1, 10),
            default=2,
            doc="Passed checks in a row that bring a failed target back; a new target needs one.",
            source=SOURCE,
        ),
        Annotation(
            key=f"{OUR_PREFIX}health-check-unhealthy-threshold",
            name="check_unhealthy_after",
            kind=Integer(1, 10),
            default=2,
            doc="Failed checks in a row after which a target gets no new connections.",
            source=SOURCE,
        ),
    )
)
