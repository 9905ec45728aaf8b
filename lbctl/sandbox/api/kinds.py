"""The kinds that the server knows, as one table: what discovery lists, what paths exist, where the schema is.

Only what sets a kind apart from "stored as it is" is said here; behaviour is in `rules`. Read by every other module.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object in one version of its API group."""

    resource: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    create_only: bool = False
    counts_generations: bool = False
    stored_as: str = ""

    @property
    def api_version(self) -> str:
        """`v1`, or `apps/v1` outside the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> str:
        """The name under which objects are kept: two API groups may show one storage (Events)."""
        return self.stored_as or (f"{self.resource}.{self.group}" if self.group else self.resource)

    @property
    def singular(self) -> str:
        """The kind in lower case, as kubectl prints it."""
        return self.kind.lower()

    @property
    def envelope(self) -> bytes:
        """The opening of an object's JSON: everything up to its first stored member."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


def _core() -> tuple[Kind, ...]:
    everyday = ("all",)
    return (
        Kind("configmaps", "ConfigMap", short=("cm",)),
        Kind("endpoints", "Endpoints", short=("ep",)),
        Kind("events", "Event", short=("ev",), stored_as="events"),
        Kind("limitranges", "LimitRange", short=("limits",)),
        Kind("namespaces", "Namespace", namespaced=False, short=("ns",), status=True),
        Kind("nodes", "Node", namespaced=False, short=("no",), status=True),
        Kind("persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",), status=True),
        Kind("persistentvolumes", "PersistentVolume", namespaced=False, short=("pv",), status=True),
        Kind("pods", "Pod", short=("po",), categories=everyday, status=True),
        Kind("podtemplates", "PodTemplate"),
        Kind("replicationcontrollers", "ReplicationController", short=("rc",), categories=everyday, status=True),
        Kind("resourcequotas", "ResourceQuota", short=("quota",), status=True),
        Kind("secrets", "Secret"),
        Kind("serviceaccounts", "ServiceAccount", short=("sa",)),
        Kind("services", "Service", short=("svc",), categories=everyday, status=True),
    )


def _apps() -> tuple[Kind, ...]:
    group, everyday = "apps", ("all",)
    return (
        Kind("controllerrevisions", "ControllerRevision", group),
        *(
            Kind(
                f"{kind.lower()}s",
                kind,
                group,
                "v1",
                short=short,
                categories=everyday,
                status=True,
                counts_generations=True,
            )
            for kind, short in (
                ("DaemonSet", ("ds",)),
                ("Deployment", ("deploy",)),
                ("ReplicaSet", ("rs",)),
                ("StatefulSet", ("sts",)),
            )
        ),
    )


def _admission() -> tuple[Kind, ...]:
    group = "admissionregistration.k8s.io"
    plain = (
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
        ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    )
    return tuple(Kind(resource, kind, group, namespaced=False, counts_generations=True) for resource, kind in plain)


def _reviews() -> tuple[Kind, ...]:
    authorization, authentication = "authorization.k8s.io", "authentication.k8s.io"
    return (
        Kind("selfsubjectreviews", "SelfSubjectReview", authentication, namespaced=False, create_only=True),
        Kind("selfsubjectaccessreviews", "SelfSubjectAccessReview", authorization, namespaced=False, create_only=True),
        Kind("selfsubjectrulesreviews", "SelfSubjectRulesReview", authorization, namespaced=False, create_only=True),
    )


def _other_groups() -> tuple[Kind, ...]:
    rbac, storage, networking = "rbac.authorization.k8s.io", "storage.k8s.io", "networking.k8s.io"
    return (
        Kind("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2", short=("hpa",), status=True),
        Kind("cronjobs", "CronJob", "batch", short=("cj",), categories=("all",), status=True, counts_generations=True),
        Kind("jobs", "Job", "batch", categories=("all",), status=True, counts_generations=True),
        Kind("leases", "Lease", "coordination.k8s.io"),
        Kind("endpointslices", "EndpointSlice", "discovery.k8s.io", counts_generations=True),
        Kind("events", "Event", "events.k8s.io", short=("ev",), stored_as="events"),
        Kind("ingressclasses", "IngressClass", networking, namespaced=False, counts_generations=True),
        Kind("ingresses", "Ingress", networking, short=("ing",), status=True, counts_generations=True),
        Kind("networkpolicies", "NetworkPolicy", networking, short=("netpol",), counts_generations=True),
        Kind(
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            "policy",
            short=("pdb",),
            status=True,
            counts_generations=True,
        ),
        Kind("clusterrolebindings", "ClusterRoleBinding", rbac, namespaced=False),
        Kind("clusterroles", "ClusterRole", rbac, namespaced=False),
        Kind("rolebindings", "RoleBinding", rbac),
        Kind("roles", "Role", rbac),
        Kind("priorityclasses", "PriorityClass", "scheduling.k8s.io", namespaced=False, short=("pc",)),
        Kind("csidrivers", "CSIDriver", storage, namespaced=False),
        Kind("csinodes", "CSINode", storage, namespaced=False),
        Kind("storageclasses", "StorageClass", storage, namespaced=False, short=("sc",)),
        Kind("volumeattachments", "VolumeAttachment", storage, namespaced=False, status=True),
    )


KINDS: tuple[Kind, ...] = (*_core(), *_apps(), *_admission(), *_reviews(), *_other_groups())
BY_PATH: dict[tuple[str, str, str], Kind] = {(kind.group, kind.version, kind.resource): kind for kind in KINDS}
BY_TYPE: dict[tuple[str, str], Kind] = {(kind.api_version, kind.kind): kind for kind in KINDS}
GROUP_VERSIONS: tuple[tuple[str, str], ...] = tuple(sorted({(kind.group, kind.version) for kind in KINDS}))

SERVICES = BY_PATH["", "v1", "services"]
NAMESPACES = BY_PATH["", "v1", "namespaces"]
EVENTS = BY_PATH["", "v1", "events"]
# Each storage of a namespace once: Events are shown in two groups.
NAMESPACED: tuple[Kind, ...] = tuple(
    {kind.storage: kind for kind in reversed(KINDS) if kind.namespaced and not kind.create_only}.values()
)
