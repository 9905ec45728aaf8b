"""Every object of one installation, in the order in which it is applied. Pure."""

from __future__ import annotations

from lbctl.deploy.rights import (
    Object,
    base_rights,
    custom_kind_rights,
    document_rights,
    lease_rights,
    watch_rights,
)
from lbctl.deploy.variants import NAMESPACE, Variant
from lbctl.deploy.workload import (
    config_map,
    deployment,
    disruption_budget,
    metrics_service,
    network_policy,
    parts_of,
)
from lbctl.settings import LeaseSettings


def build(variant: Variant) -> list[Object]:
    """All objects; those that no overlay adds or changes come first."""
    return [*shared_objects(), *own_objects(variant), *changed_objects(variant)]


def shared_objects() -> list[Object]:
    """What is the same for every cloud."""
    lease = LeaseSettings()
    return base_rights(namespace=NAMESPACE, lease_namespace=lease.namespace, lease_name=lease.name)


def own_objects(variant: Variant) -> list[Object]:
    """What an overlay adds: its settings, and the rights that only its driver needs."""
    watches = [one for watched in variant.watches for one in watch_rights(NAMESPACE, watched)]
    kinds = custom_kind_rights(NAMESPACE, variant.custom_kinds)
    leases, documents = lease_rights(NAMESPACE, variant.leases), document_rights(NAMESPACE, variant.documents)
    return [config_map(parts_of(variant)), *watches, *kinds, *leases, *documents]


def changed_objects(variant: Variant) -> list[Object]:
    """What every cloud has in a form of its own."""
    parts = parts_of(variant)
    return [metrics_service(parts), disruption_budget(parts), network_policy(parts), deployment(parts)]
