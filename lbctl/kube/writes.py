"""Everything that we write on Services (finalizers, status and annotations) and on Pods (the condition of a gate).

The engine calls it after the fence. `patch` on `services/status` and `pods/status` is the only right that this needs:
the API server takes metadata on that path too (upstream writes its finalizer the same way, cloud-provider,
service/helpers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lbctl.kube import patches
from lbctl.kube.answers import decoding
from lbctl.kube.rest import MERGE_PATCH, STRATEGIC_PATCH
from lbctl.kube.target import PODS, SERVICES
from lbctl.model.objects import Pod, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbctl.kube.patches import Clearing, Json
    from lbctl.kube.rest import Rest
    from lbctl.model.objects import Condition, Ingress

FIELD_MANAGER = "lbctl"

_SERVICE = msgspec.json.Decoder(Service)
_POD = msgspec.json.Decoder(Pod)


class ServiceWriter:
    """Writes on Services; each costs one PATCH and returns the Service as it is afterwards.

    Raises KubeConflict when the Service is not what the caller saw, or another one has its name by now: read it again,
    decide again. Raises KubeGone when there is none of this name. With `dry_run` the server checks and answers, but
    stores nothing.
    """

    def __init__(self, rest: Rest, *, dry_run: bool = False) -> None:
        self._rest = rest
        self._query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})

    def add_finalizers(self, service: Service, names: Sequence[str]) -> Service:
        """The Service with `names` after its own finalizers."""
        return self._patch(service, patches.build_finalizer_addition(service, names), MERGE_PATCH)

    def remove_finalizers(self, service: Service, names: Sequence[str], *, clearing: Clearing | None = None) -> Service:
        """The Service without `names`; removing the last finalizer of a deleted Service ends it.

        KubeGone means that nothing was left to remove.
        """
        return self._patch(service, patches.build_finalizer_removal(service, names, clearing), STRATEGIC_PATCH)

    def write_status(
        self,
        service: Service,
        *,
        ingress: Sequence[Ingress],
        conditions: Sequence[Condition],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Service:
        """The Service with exactly this ingress and these conditions, and these annotations changed.

        An ingress on a Service that is no LoadBalancer any more is a KubeConflict.
        """
        body = patches.build_status(service, ingress=ingress, conditions=conditions, annotations=annotations)
        return self._patch(service, body, MERGE_PATCH)

    def _patch(self, service: Service, body: Json, content_type: str) -> Service:
        meta = service.metadata
        target = SERVICES.one(meta.name, namespace=meta.namespace, subresource="status")
        reply = self._rest.send("patch", target, body=body, content_type=content_type, query=self._query)
        with decoding("patch", target):
            return _SERVICE.decode(reply)


class PodWriter:
    """Writes on Pods; each costs one PATCH and returns the Pod as it is afterwards.

    Raises KubeGone when the Pod is gone, also when another one has its name by now.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def write_pod_condition(self, pod: Pod, condition: Condition) -> Pod:
        """The Pod with this condition; those of others are as they were."""
        meta = pod.metadata
        target = PODS.one(meta.name, namespace=meta.namespace, subresource="status")
        body = patches.build_pod_condition(pod, condition)
        query = {"fieldManager": FIELD_MANAGER}
        with decoding("patch", target):
            return _POD.decode(self._rest.send("patch", target, body=body, content_type=STRATEGIC_PATCH, query=query))
