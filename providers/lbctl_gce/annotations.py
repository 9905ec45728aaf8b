"""The annotations of the GCE driver, as data: parser, validation and reference page come from this table.

Keys, grammars and defaults are those of kubernetes/cloud-provider-gcp and kubernetes/ingress-gce. Nothing here knows
the API.
"""

from __future__ import annotations

from lbctl.annotations import OUR_PREFIX, Annotation, AnnotationTable
from lbctl.grammar import Choice, ListOf, Text

GKE = "networking.gke.io/"
CLOUD = "cloud.google.com/"
TYPE = f"{GKE}load-balancer-type"
OLD_TYPE = f"{CLOUD}load-balancer-type"
BACKENDS = f"{CLOUD}l4-rbs"
TIER = f"{CLOUD}network-tier"
GLOBAL_ACCESS = f"{GKE}internal-load-balancer-allow-global-access"
INTERNAL_SUBNET = f"{GKE}internal-load-balancer-subnet"
SUBNET = f"{GKE}load-balancer-subnet"
ADDRESSES = f"{GKE}load-balancer-ip-addresses"
WEIGHTED = f"{GKE}weighted-load-balancing"
STRONG_AFFINITY = f"{GKE}l4-strong-session-affinity"
SHARE = f"{CLOUD}load-balancer-backend-share"
ALPHA_SHARE = f"alpha.{SHARE}"
COLLECTION = f"{GKE}ip-collection-v6"
LOGGING = f"{GKE}l4lb-config"
FRONT = f"{GKE}custom-forwarding-rule"
MIGRATE = f"{OUR_PREFIX}gce-target-pool"
LEGACY, L4 = "cloud-provider-gcp", "ingress-gce"
INTERNAL = ("ilb-ig", "ilb-neg")
L4_MODES = ("netlb-rbs", "netlb-neg", "ilb-neg")
NAME = Text(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "a name of lower-case letters, digits and dashes")
ANY = Text()

ANNOTATIONS = AnnotationTable(
    (
        Annotation(
            TYPE,
            "type",
            ANY,
            "`Internal` makes an internal balancer; every other value, also a typing error, an external one.",
            default="",
            on_change="moves the address",
            source=LEGACY,
        ),
        Annotation(
            OLD_TYPE,
            "old_type",
            ANY,
            "The old key of the balancer's type; read only where the new key is absent.",
            default="",
            on_change="moves the address",
            source=LEGACY,
            deprecated=TYPE,
        ),
        Annotation(
            BACKENDS,
            "backends",
            ANY,
            "`enabled` gives a new external balancer a backend service instead of a target pool.",
            default="",
            on_change="only at creation",
            source=L4,
        ),
        Annotation(
            TIER,
            "tier",
            Choice(("Premium", "Standard")),
            "Network tier of an external balancer; internal ones are always Premium.",
            default="Premium",
            on_change="moves the address, held",
            modes=("netlb-tp", "netlb-rbs", "netlb-neg"),
            source=LEGACY,
        ),
        Annotation(
            GLOBAL_ACCESS,
            "global_access",
            ANY,
            "`true` lets clients of all regions use an internal balancer.",
            default="",
            modes=INTERNAL,
            source=LEGACY,
        ),
        Annotation(
            INTERNAL_SUBNET,
            "internal_subnet",
            NAME,
            "Subnet of an internal balancer's address; the cluster's subnet by default.",
            default="",
            on_change="moves the address, held",
            modes=INTERNAL,
            source=LEGACY,
        ),
        Annotation(
            SUBNET,
            "subnet",
            NAME,
            "Subnet of an internal balancer, and of the IPv6 address of an external one; wins over the internal key.",
            default="",
            on_change="moves the address, held",
            modes=L4_MODES,
            source=L4,
        ),
        Annotation(
            ADDRESSES,
            "addresses",
            ListOf(NAME),
            "Names of up to two reserved addresses, the first IPv4 and the first IPv6 one being used.",
            default=(),
            on_change="recreates the forwarding rule",
            modes=L4_MODES,
            source=L4,
        ),
        Annotation(
            WEIGHTED,
            "weighted",
            ANY,
            "`pods-per-node` weights nodes by their pods, with traffic policy Local only.",
            default="",
            modes=L4_MODES,
            source=L4,
        ),
        Annotation(
            STRONG_AFFINITY,
            "strong_affinity",
            Choice(("enabled",)),
            "Keeps a client on its node also when nodes change; needs session affinity ClientIP of 60 to 57600 s.",
            default="",
            modes=("netlb-rbs", "netlb-neg"),
            source=L4,
        ),
        Annotation(
            SHARE,
            "share",
            ANY,
            "`true` lets internal balancers of one protocol and session affinity share a backend service, "
            "with traffic policy Cluster.",
            default="",
            on_change="recreates the forwarding rule",
            modes=("ilb-ig",),
            source=LEGACY,
        ),
        Annotation(
            ALPHA_SHARE,
            "alpha_share",
            ANY,
            "The old key of the same wish.",
            default="",
            on_change="recreates the forwarding rule",
            modes=("ilb-ig",),
            source=LEGACY,
            deprecated=SHARE,
        ),
        Annotation(
            COLLECTION,
            "collection",
            Text(
                r"(https://.+/)?projects/[^/]+/regions/[^/]+/publicDelegatedPrefixes/[^/]+", "a prefix by its full URL"
            ),
            "Public delegated prefix of an external balancer's IPv6 address; not together with a subnet.",
            default="",
            on_change="moves the address, held",
            modes=("netlb-rbs", "netlb-neg"),
            source=L4,
        ),
        Annotation(
            LOGGING,
            "logging",
            ANY,
            "Names an L4LBConfig object in the Service's namespace; the backend service takes its settings of logging; "
            "without one, logging stays as it is.",
            default="",
            modes=L4_MODES,
            source=L4,
        ),
        Annotation(
            FRONT,
            "front",
            ANY,
            "Names up to ten forwarding rules, or gives their URLs, that somebody else has put before endpoint groups "
            "which stand alone; their addresses are published.",
            default="",
            modes=("neg-only",),
            source=L4,
        ),
        Annotation(
            MIGRATE,
            "target_pool",
            Choice(("migrate",)),
            "Gives a balancer that has a target pool a backend service instead; the address is kept.",
            default="",
            on_change="recreates the forwarding rule",
            modes=("netlb-tp",),
            source="lbctl",
        ),
    ),
    prefixes=(GKE, CLOUD),
    # What the controllers of Ingresses, of Gateways and of network endpoint groups read and write on Services.
    ignored=frozenset(
        {
            f"{CLOUD}app-protocols",
            f"{CLOUD}backend-config",
            f"{CLOUD}neg",
            f"{CLOUD}neg-status",
            f"{GKE}backend-service",
            f"{GKE}target-pool",
        }
    ),
)
