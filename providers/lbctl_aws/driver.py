"""The AWS driver: joins the stages. State beyond the caches of facts and tags does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lbctl.driver import DriverInfo, Finding, Gate, Health, Judgement, Outcome, Pending, Refs, Setup, World
from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan
from lbctl_aws import model, plan
from lbctl_aws.annotations import IP
from lbctl_aws.apply import apply
from lbctl_aws.check import findings
from lbctl_aws.client import AwsClient
from lbctl_aws.facts import FactReader
from lbctl_aws.gates import PREFIX
from lbctl_aws.model_nodes import build_node_rules
from lbctl_aws.observe import Reader
from lbctl_aws.options import mode_of
from lbctl_aws.parse import parse
from lbctl_aws.place import BACKEND, BALANCER
from lbctl_aws.release import release
from lbctl_aws.settings import AwsSettings, with_cloud_config
from lbctl_aws.status import status
from lbctl_aws.target_health import gated_groups, judge_gates, read_health


class AwsDriver:
    """One AWS account and region. Calls of several threads are fine; the SDK's clients are shared."""

    gate_prefix = PREFIX

    def __init__(self, info: DriverInfo, setup: Setup) -> None:
        self.info = info
        self._settings: AwsSettings = with_cloud_config(setup.settings)
        setup = replace(setup, settings=self._settings)
        self._cluster = self._settings.cluster_id or setup.cluster.name
        self._client = AwsClient(setup)
        self._facts = FactReader(self._client, self._settings, setup.clock, read_document=setup.read_document)
        self._reader = Reader(self._client, self._settings, setup.clock, cluster=self._cluster, show=setup.show)

    def claims(self, service: Service) -> bool:
        """Whether any mode serves the Service; `external` without target type is claimed so that it is told."""
        return bool(mode_of(service, self._settings))

    def parse(self, service: Service) -> Intent:
        """What the Service asks for."""
        return parse(service, self._settings)

    def scopes(self, intent: Intent, _world: World) -> tuple[Scope, ...]:
        """The balancer, the nodes' rules, and the shared group where it is used."""
        return model.scopes_of(intent, self._settings)

    def facts(self, scope: Scope, world: World) -> Any:  # noqa: ANN401 - each kind of scope has its own facts
        """Network and groups for balancers, instances' groups for node rules; both cached."""
        if scope.kind == BALANCER:
            return self._facts.balancer(world)
        if scope.kind == BACKEND:
            return self._facts.network()
        return self._facts.nodes(world)

    def model(self, scope: Scope, world: World, facts: Any) -> Desired:  # noqa: ANN401 - as above
        """Everything that the scope should hold."""
        if scope.kind == BALANCER:
            return model.build_balancer(scope, world, facts, settings=self._settings, cluster=self._cluster)
        if scope.kind == BACKEND:
            return model.build_backend_group(world, facts, settings=self._settings, cluster=self._cluster)
        return build_node_rules(world, facts, self._settings, self._cluster)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """Everything of the cluster: lists in pages, then one read for each balancer and target group."""
        return self._reader.read(world, self._facts.nodes(world))

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope, by the same lists."""
        at = Observed(scope)
        return self._reader.read(world, self._facts.nodes(world), only=scope).get(scope, at)

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """The actions for one scope."""
        return plan.build(desired, observed, world, self._settings)

    def apply(self, action: Action, refs: Refs) -> Outputs:
        """One call."""
        return apply(self._client, action, refs)

    def poll(self, _pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """Nothing: AWS answers writes at once."""
        return {}

    def status(self, identity: Identity, world: World) -> Status:
        """The balancer's host name."""
        return status(identity, world)

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """What AWS's checks find of these Services: one call for each target group and classic balancer."""
        return read_health(self._client, identities, world)

    def may_gate(self, service: Service) -> bool:
        """True for balancers that send to pods."""
        return service.spec.type == "LoadBalancer" and mode_of(service, self._settings) == IP

    def known_gates(self, conditions: Iterable[str], world: World) -> frozenset[str]:
        """Those that are named after a target group of these Services."""
        return frozenset(gated_groups(conditions, world))

    def judge(self, gates: Iterable[Gate], world: World) -> Mapping[Gate, Judgement]:
        """What AWS's checks find of the pods that wait: one call for each target group that has one of them."""
        return judge_gates(self._client, gates, world)

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        """Actions that take our own tag off."""
        return release(identity, observed)

    def check(self) -> Iterator[Finding]:
        """Identity, permissions, network, security groups and quotas."""
        return findings(self._client, self._facts, self._settings, self._cluster)

    def close(self) -> None:
        """Nothing is held open that does not close with the process."""
