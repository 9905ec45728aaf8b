"""The pure stages without any cloud: Services in, plan out; what was wanted can be taken for seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lbctl.driver import Cluster, World
from lbctl.model.intent import identity_of
from lbctl.model.node import NodeSet
from lbctl.model.objects import Node, Service
from lbctl.model.resource import Desired, Key, Observed, Ref, Seen, State
from lbctl.plan.actions import Plan
from lbctl_openstack import names
from lbctl_openstack.cloudconf import parse_cloud_conf
from lbctl_openstack.fields import Json
from lbctl_openstack.model import model_scope
from lbctl_openstack.observe import Reading, observe_all
from lbctl_openstack.parse import parse_service
from lbctl_openstack.part import Facts
from lbctl_openstack.plan import Manner, build_actions
from lbctl_openstack.status import status_of
from tests.world import change, node, service

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PREFIX = "loadbalancer.openstack.org/"
NEWEST = (2, 30)


def with_uid(plain: Service, uid: str = "uid-web") -> Service:
    """The Service as the API server would store it."""
    return change(plain, metadata=change(plain.metadata, uid=uid))


class Stage:
    """One Service of the cluster `c` and two nodes, unless told otherwise."""

    def __init__(
        self,
        annotations: dict[str, str] | None = None,
        *,
        conf: str = "",
        nodes: Iterable[Node] | None = None,
        version: tuple[int, int] = NEWEST,
        external: str = "public",
        **spec: Any,
    ) -> None:
        named = {key if "/" in key else PREFIX + key: value for key, value in (annotations or {}).items()}
        self.service = with_uid(service(annotations=named, **spec))
        self.identity = identity_of(self.service)
        self.conf = parse_cloud_conf(f"[LoadBalancer]\nsubnet-id=sub\n{conf}")
        self.intent = parse_service(self.service, conf=self.conf)
        self.nodes = NodeSet.of(nodes if nodes is not None else (node("n1"), node("n2")))
        self.facts = Facts(version, external=external)
        self.scope = names.balancer_scope("c", self.identity)

    def world(self, observed: Observed | None = None) -> World:
        """What the pure stages may look at."""
        return World(
            Cluster("c", "c"),
            NOW,
            self.nodes,
            {self.identity: self.intent},
            {self.identity: self.service},
            observed={self.scope: observed} if observed is not None else {},
        )

    def desired(self, observed: Observed | None = None) -> Desired:
        """What the scope should hold."""
        return model_scope(self.scope, self.world(observed), self.facts, balancing=self.conf.balancing)

    def plan(self, observed: Observed | None = None, **manner: Any) -> Plan:
        """The plan from what was observed, by default nothing."""
        seen = observed or Observed(self.scope)
        return build_actions(self.desired(observed), seen, self.world(seen), Manner(**manner))

    def calls(self, observed: Observed | None = None, **manner: Any) -> list[str]:
        """Names of the planned calls but for notes on the Service."""
        return [a.call for a in self.plan(observed, **manner).actions if a.call != "service.annotate"]

    def seen(self, *, state: State = State.ACTIVE, **outputs: str) -> Observed:
        """The scope as if everything that is wanted had been made."""
        desired = self.desired()
        resources = {key: _seen(key, resource) for key, resource in desired.resources.items()}
        balancer = resources[names.BALANCER_KEY]
        resources[names.BALANCER_KEY] = replace(balancer, state=state, outputs={**balancer.outputs, **outputs})
        return Observed(self.scope, resources)

    def observe(self, *balancers: Json, **others: Any) -> Observed:
        """What these documents amount to."""
        return observe_all(Reading(balancers, **others), self.world()).get(self.scope, Observed(self.scope))

    def status(self, observed: Observed) -> Any:
        """What would be published."""
        return status_of(self.identity, self.world(observed), balancing=self.conf.balancing)


OUTPUTS = {
    "balancer": {
        "id": "lb-1",
        "address": "10.0.0.5",
        "more_addresses": "",
        "vip_port_id": "vip-1",
        "status": "ACTIVE",
        "since": "2026-01-01T11:59:00",
        "tags": '["kube_service_c_shop_web"]',
        "never_active": "",
    },
    "listener": {"tags": "[]", "headers": "{}"},
    "floating": {"address": "203.0.113.9", "made": "yes", "tags": "[]"},
}


def _seen(key: Key, resource: Any) -> Seen:
    fields = {name: _settled(value) for name, value in resource.fields.items()}
    outputs = {"id": f"id {key}", **OUTPUTS.get(key.kind, {})}
    return Seen(replace(resource, fields=fields), outputs)


def _settled(value: Any) -> Any:
    if not isinstance(value, Ref):
        return value
    return OUTPUTS["balancer"][value.attribute] if value.key == names.BALANCER_KEY else f"id {value.key}"


def balancer_body(**changes: Any) -> Json:
    """An internal balancer of shop/web as Octavia tells it."""
    own = "kube_service_c_shop_web"
    body = {
        "id": "lb-1",
        "name": own,
        "description": "Kubernetes external service shop/web from cluster c",
        "tags": [own],
        "provisioning_status": "ACTIVE",
        "vip_address": "10.0.0.5",
        "vip_port_id": "vip-1",
        "vip_subnet_id": "sub",
        "created_at": "2026-01-01T10:00:00",
    }
    return body | changes
