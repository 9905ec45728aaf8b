"""The Helm chart: the same objects with expressions where its user decides, a schema, and values for each cloud. Pure.

An expression stands in for a value before the object is built, and is written in place of it afterwards, so the chart
cannot say anything that the manifests do not. Values are written as JSON, which is YAML too, whatever their shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lbctl import __version__
from lbctl.deploy.rights import (
    LABELS,
    NAME,
    Object,
    base_rights,
    custom_kind_rights,
    document_rights,
    lease_rights,
    watch_rights,
)
from lbctl.deploy.text import HEAD, documents, to_yaml
from lbctl.deploy.variants import Place, Variant
from lbctl.deploy.workload import (
    Parts,
    config_map,
    deployment,
    disruption_budget,
    metrics_service,
    network_policy,
    parts_of,
)
from lbctl.kube.rights import READ, WATCHED, Right
from lbctl.kube.target import LEASES, Target

ALERTS_FILE = "files/alerts.yaml"
DASHBOARD_FILE = "files/dashboard.json"
POLICY_FILE = "files/admission/%s.yaml"
RELEASE_NAMESPACE = "{{ .Release.Namespace | toJson }}"
# Within a list, where the dot is one of its items.
ROOT_NAMESPACE = "{{ $.Release.Namespace | toJson }}"
ITEM = {"namespace": "{{ .namespace | toJson }}", "name": "{{ .name | toJson }}"}
CUSTOM_KIND = Right(READ, Target(resource="{{ .resource | toJson }}", group="{{ .group | toJson }}"))
LEASE = Right((), Target(resource=LEASES.resource, group=LEASES.group, **ITEM))
DOCUMENT = Right(("get",), Target(resource="{{ .resource | toJson }}", **ITEM))


def _of(path: str) -> str:
    return f"{{{{ .Values.{path} | toJson }}}}"


PARTS = Parts(
    namespace=RELEASE_NAMESPACE,
    replicas=_of("replicas"),
    image='{{ printf "%s:%s" .Values.image.repository .Values.image.tag | toJson }}',
    pull_policy=_of("image.pullPolicy"),
    settings_text="{{ .Values.settings | toYaml | toJson }}",
    settings_checksum="{{ .Values.settings | toJson | sha256sum | toJson }}",
    secret=_of("cloudSecret"),
    host_network=_of("hostNetwork"),
    environment=_of("environment"),
    resources=_of("resources"),
    node_selector=_of("nodeSelector"),
    tolerations=_of("tolerations"),
    priority_class=_of("priorityClassName"),
    egress=_of("networkPolicy.egress"),
    verbosity='{{ printf "--verbosity=%s" (.Values.verbosity | toJson) | toJson }}',
    pod_labels=_of("podLabels"),
)


def chart_files(providers: Mapping[str, Variant]) -> dict[str, str]:
    """The chart's files by name, but for those that are the same elsewhere (alerts, dashboard, admission policies)."""
    return {
        "Chart.yaml": HEAD + to_yaml(_chart()),
        "values.yaml": HEAD + to_yaml(values(Variant("", Place())) | {"provider": ""}),
        "values.schema.json": json.dumps(SCHEMA, indent=2) + "\n",
        **{f"values-{name}.yaml": HEAD + to_yaml(_difference(variant)) for name, variant in providers.items()},
        **{f"templates/{name}.yaml": text for name, text in _templates().items()},
    }


def values(variant: Variant) -> Object:
    """What the chart's user may set, as one cloud has it."""
    parts = parts_of(variant)
    return {
        "provider": variant.provider,
        "settings": variant.settings if variant.provider else {**variant.settings, "accounts": {}},
        "image": {"repository": NAME, "tag": variant.tag if variant.provider else "", "pullPolicy": parts.pull_policy},
        "replicas": parts.replicas,
        "cloudSecret": parts.secret,
        "watches": list(variant.watches),
        "customKinds": [
            {"group": right.target.group, "resource": right.target.resource} for right in variant.custom_kinds
        ],
        "leases": [
            {"namespace": right.target.namespace, "name": right.target.name, "verbs": list(right.verbs)}
            for right in variant.leases
        ],
        "documents": [
            {"resource": right.target.resource, "namespace": right.target.namespace, "name": right.target.name}
            for right in variant.documents
        ],
        "hostNetwork": parts.host_network,
        "serviceAccount": {"annotations": {}},
        "podLabels": parts.pod_labels,
        "environment": parts.environment,
        "verbosity": 0,
        "resources": parts.resources,
        "nodeSelector": parts.node_selector,
        "tolerations": parts.tolerations,
        "priorityClassName": parts.priority_class,
        "networkPolicy": {"egress": parts.egress},
        "alerts": {"enabled": False, "labels": {}},
        "dashboard": {"enabled": False, "labels": {"grafana_dashboard": "1"}},
        "admissionPolicy": {"enabled": False},
    }


def _chart() -> Object:
    return {
        "apiVersion": "v2",
        "name": NAME,
        "description": "Cloud load balancers for Kubernetes Services. Install with the values file of your cloud.",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        "kubeVersion": ">=1.30.0-0",
    }


def _difference(variant: Variant) -> Object:
    """What a cloud's values file has to say."""
    base = values(Variant("", Place()))
    return {name: value for name, value in values(variant).items() if value != base[name]}


def _templates() -> dict[str, str]:
    lease = {"lease_namespace": _of("settings.lease.namespace"), "lease_name": _of("settings.lease.name")}
    account, *rights = base_rights(namespace=RELEASE_NAMESPACE, **lease)
    account["metadata"] = {**account["metadata"], "annotations": _of("serviceAccount.annotations")}
    workload = [part(PARTS) for part in (config_map, metrics_service, disruption_budget, network_policy, deployment)]
    return {
        "rights": _template([account, *rights]),
        **{
            watched: _if(f'has "{watched}" .Values.watches', _template(watch_rights(RELEASE_NAMESPACE, watched)))
            for watched in WATCHED
        },
        "custom-kinds": _each(
            "customKinds", _named('"lbctl-%s" .resource', custom_kind_rights(ROOT_NAMESPACE, [CUSTOM_KIND]))
        ),
        "leases": _each("leases", _named('"lbctl-lease-%s" .name', _lease_rights())),
        "documents": _each(
            "documents", _named('"lbctl-%s-%s" .resource .name', document_rights(ROOT_NAMESPACE, [DOCUMENT]))
        ),
        "workload": _template(workload),
        "alerts": _if(".Values.alerts.enabled", _template([_alerts()])),
        "dashboard": _if(".Values.dashboard.enabled", _template([_dashboard()])),
        "admission": _if(
            ".Values.admissionPolicy.enabled", f'{{{{ printf "{POLICY_FILE}" .Values.provider | .Files.Get }}}}\n'
        ),
    }


def _lease_rights() -> list[Object]:
    role, binding = lease_rights(ROOT_NAMESPACE, [LEASE])
    return [{**role, "rules": [{**role["rules"][0], "verbs": "{{ .verbs | toJson }}"}]}, binding]


def _named(printed: str, rights: list[Object]) -> list[Object]:
    """A Role and its binding under a name that is made from that of the list's item."""
    name = f"{{{{ printf {printed} | toJson }}}}"
    role, binding = ({**one, "metadata": {**one["metadata"], "name": name}} for one in rights)
    return [role, {**binding, "roleRef": {**binding["roleRef"], "name": name}}]


def _each(path: str, objects: list[Object]) -> str:
    return f"{{{{- range .Values.{path} }}}}\n---\n{_template(objects)}{{{{- end }}}}\n"


def _alerts() -> Object:
    metadata = {"name": NAME, "namespace": RELEASE_NAMESPACE, "labels": _of("alerts.labels")}
    spec = f'{{{{ .Files.Get "{ALERTS_FILE}" | fromYaml | toJson }}}}'
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": spec}


def _dashboard() -> Object:
    metadata = {"name": f"{NAME}-dashboard", "namespace": RELEASE_NAMESPACE, "labels": _of("dashboard.labels")}
    data = {"lbctl.json": f'{{{{ .Files.Get "{DASHBOARD_FILE}" | toJson }}}}'}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _template(objects: list[Object]) -> str:
    """The objects as YAML; the quotes that YAML puts around an expression go, since it brings its own."""
    holes: list[str] = []
    text = documents(_marked(one, holes) for one in objects)
    for number, hole in enumerate(holes):
        text = text.replace(f"EXPRESSION{number}END", hole)
    return text


def _marked(value: Any, holes: list[str]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _marked(inner, holes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner, holes) for inner in value]
    if isinstance(value, str) and value.startswith("{{"):
        holes.append(value)
        return f"EXPRESSION{len(holes) - 1}END"
    return value


def _if(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _map_of(kind: str) -> Object:
    return {"type": "object", "additionalProperties": {"type": kind}}


def _closed(**properties: Object) -> Object:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(properties),
    }


_TEXT: Object = {"type": "string"}
_NAME: Object = {"type": "string", "minLength": 1}
_FLAG: Object = {"type": "boolean"}
_OBJECTS: Object = {"type": "array", "items": {"type": "object"}}
_VERBS: Object = {"type": "array", "items": {"type": "string", "enum": ["get", "update"]}}
_LEASE = _closed(namespace=_NAME, name=_NAME, verbs=_VERBS)
_SETTINGS: Object = {
    "type": "object",
    "required": ["accounts", "lease"],
    "properties": {
        "accounts": {"type": "object", "minProperties": 1},
        "lease": {"type": "object", "required": ["name", "namespace"]},
    },
}

SCHEMA: Object = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Values of the lbctl chart",
    **_closed(
        provider={**_NAME, "description": "The driver; use the values file of your cloud, values-NAME.yaml."},
        settings={**_SETTINGS, "description": "lbctl's settings file; see `lbctl config show`."},
        image=_closed(
            repository=_NAME, tag=_NAME, pullPolicy={"type": "string", "enum": ["Always", "IfNotPresent", "Never"]}
        ),
        replicas={"type": "integer", "minimum": 0},
        cloudSecret={**_NAME, "description": "Secret whose keys are files in /etc/lbctl/cloud; may be missing."},
        watches={
            "type": "array",
            "items": {"type": "string", "enum": sorted(WATCHED)},
            "description": "What the driver reads beside Services and Nodes.",
        },
        customKinds={
            "type": "array",
            "items": _closed(group=_NAME, resource=_NAME),
            "description": "Custom kinds that Services may refer to.",
        },
        leases={"type": "array", "items": _LEASE, "description": "Leases of other controllers to look at or take."},
        documents={
            "type": "array",
            "items": _closed(
                resource={"type": "string", "enum": ["configmaps", "secrets"]}, namespace=_NAME, name=_NAME
            ),
            "description": "ConfigMaps and Secrets of other controllers that the driver reads.",
        },
        hostNetwork=_FLAG,
        serviceAccount=_closed(annotations=_map_of("string")),
        podLabels={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "required": list(LABELS),
            "properties": {key: {"const": value} for key, value in LABELS.items()},
        },
        environment=_OBJECTS,
        verbosity={"type": "integer", "minimum": 0, "maximum": 10},
        resources={"type": "object"},
        nodeSelector=_map_of("string"),
        tolerations=_OBJECTS,
        priorityClassName=_TEXT,
        networkPolicy=_closed(egress=_OBJECTS),
        alerts=_closed(enabled=_FLAG, labels=_map_of("string")),
        dashboard=_closed(enabled=_FLAG, labels=_map_of("string")),
        admissionPolicy=_closed(enabled=_FLAG),
    ),
}
