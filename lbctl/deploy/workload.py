"""The objects that run the controller: settings, Deployment, and what protects it. Pure.

What differs between clouds, and what the chart leaves to its user, is in `Parts`; what keeps the Pod harmless is not,
so nobody can forget it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import yaml

from lbctl.deploy.rights import LABELS, NAME, Object
from lbctl.deploy.variants import CLOUD_FOLDER, NAMESPACE, SCRATCH_FOLDER, Variant

PORT = 10258
USER = 65532
SETTINGS_FOLDER = "/etc/lbctl"
SETTINGS_FILE = "settings.yaml"
SELECTOR = {"matchLabels": LABELS}
CHECKSUM = "lbctl.io/settings-checksum"

RESOURCES: Object = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
NODE_SELECTOR = {"kubernetes.io/os": "linux"}
TOLERATIONS: list[Object] = [
    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
    # A new cluster may have no other node yet, and what initialises it may need a balancer first.
    {"key": "node.cloudprovider.kubernetes.io/uninitialized", "operator": "Exists", "effect": "NoSchedule"},
]
PRIORITY_CLASS = "system-cluster-critical"


@dataclass(frozen=True, slots=True)
class Parts:
    """What may differ from one installation to the next; the chart fills in expressions."""

    namespace: Any
    replicas: Any
    image: Any
    pull_policy: Any
    settings_text: Any
    settings_checksum: Any
    secret: Any
    host_network: Any
    environment: Any
    resources: Any
    node_selector: Any
    tolerations: Any
    priority_class: Any
    egress: Any
    verbosity: Any
    pod_labels: Any


def parts_of(variant: Variant) -> Parts:
    """The parts of one cloud's installation as it is checked in."""
    return Parts(
        namespace=NAMESPACE,
        replicas=variant.replicas,
        image=variant.image,
        pull_policy="IfNotPresent",
        settings_text=yaml.safe_dump(variant.settings),
        settings_checksum=checksum(variant.settings),
        secret=variant.place.files_from,
        host_network=variant.place.on_host,
        environment=[],
        resources=RESOURCES,
        node_selector=NODE_SELECTOR,
        tolerations=TOLERATIONS,
        priority_class=PRIORITY_CLASS,
        egress=variant.egress,
        verbosity="--verbosity=0",
        pod_labels=LABELS,
    )


def checksum(settings: Object) -> str:
    """What changes with the settings, so that Pods with old ones are replaced; the chart computes the same."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def config_map(parts: Parts) -> Object:
    """The settings file."""
    return _object("v1", "ConfigMap", parts, data={SETTINGS_FILE: parts.settings_text})


def deployment(parts: Parts) -> Object:
    """The controller."""
    template = {
        "metadata": {"labels": parts.pod_labels, "annotations": {CHECKSUM: parts.settings_checksum}},
        "spec": _pod(parts),
    }
    # No surge: in the host's network two Pods of one node would want the same port.
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    spec = {"replicas": parts.replicas, "selector": SELECTOR, "strategy": strategy, "template": template}
    return _object("apps/v1", "Deployment", parts, spec=spec)


def metrics_service(parts: Parts) -> Object:
    """Where a Prometheus finds every Pod."""
    port = {"name": "metrics", "port": PORT, "targetPort": "metrics", "protocol": "TCP"}
    return _object("v1", "Service", parts, spec={"clusterIP": "None", "selector": LABELS, "ports": [port]})


def disruption_budget(parts: Parts) -> Object:
    """One Pod may go at a time; a single one never keeps its node from being drained."""
    spec = {"maxUnavailable": 1, "selector": SELECTOR}
    return _object("policy/v1", "PodDisruptionBudget", parts, spec=spec)


def network_policy(parts: Parts) -> Object:
    """Metrics come in; names, the API server and the cloud go out. Without effect on a Pod in the host's network."""
    spec = {
        "podSelector": SELECTOR,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": parts.egress,
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", parts, spec=spec)


def _object(version: str, kind: str, parts: Parts, **rest: Any) -> Object:  # noqa: ANN401 - JSON
    metadata = {"name": NAME, "namespace": parts.namespace, "labels": LABELS}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _pod(parts: Parts) -> Object:
    apart = {"labelSelector": SELECTOR, "topologyKey": "kubernetes.io/hostname"}
    return {
        "serviceAccountName": NAME,
        "priorityClassName": parts.priority_class,
        "hostNetwork": parts.host_network,
        "dnsPolicy": "ClusterFirstWithHostNet",  # outside of the host's network the same as ClusterFirst
        "nodeSelector": parts.node_selector,
        "tolerations": parts.tolerations,
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
            }
        },
        "terminationGracePeriodSeconds": 75,  # a call to the cloud may take 60 s, then the Lease is given back
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(parts)],
        "volumes": [
            {"name": "settings", "configMap": {"name": NAME}},
            {"name": "cloud", "secret": {"secretName": parts.secret, "optional": True}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _container(parts: Parts) -> Object:
    return {
        "name": NAME,
        "image": parts.image,
        "imagePullPolicy": parts.pull_policy,
        "args": ["run", f"--config={SETTINGS_FOLDER}/{SETTINGS_FILE}", "--logging-format=json", parts.verbosity],
        "env": parts.environment,
        "ports": [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}],
        "livenessProbe": {**_probe("/healthz"), "initialDelaySeconds": 15, "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 10},
        "resources": parts.resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "settings", "mountPath": f"{SETTINGS_FOLDER}/{SETTINGS_FILE}", "subPath": SETTINGS_FILE},
            {"name": "cloud", "mountPath": CLOUD_FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH_FOLDER},
        ],
    }


def _probe(path: str) -> Object:
    return {"httpGet": {"path": path, "port": "metrics"}, "timeoutSeconds": 5}
