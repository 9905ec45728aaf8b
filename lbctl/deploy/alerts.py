"""The alerts, as Prometheus rules: what somebody has to look at, since when, and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.deploy.rights import Object

WARNING, CRITICAL = "warning", "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule; `lasting` is how long the expression has to hold."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    advice: str

    def rule(self) -> Object:
        """For Prometheus."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.advice},
        }


ALERTS = (
    Alert(
        "LbctlServicePending",
        "max by (namespace, service, reason) (lbctl_service_pending_seconds) > 600",
        "1m",
        WARNING,
        "{{ $labels.namespace }}/{{ $labels.service }} has not been what it asks for, for over 10 minutes",
        "It waits for: {{ $labels.reason }}. See: lbctl explain {{ $labels.namespace }}/{{ $labels.service }}",
    ),
    Alert(
        "LbctlReconcilesFailing",
        'sum by (provider) (increase(lbctl_reconcile_seconds_count{result!="ok"}[10m])) > 3',
        "5m",
        WARNING,
        "More than three passes over {{ $labels.provider }} failed within 10 minutes",
        "See which and why: lbctl status, then lbctl explain for one of them.",
    ),
    Alert(
        "LbctlActionsHeld",
        "max by (hazard) (lbctl_actions_held) > 0",
        "1h",
        WARNING,
        "{{ $value }} changes ({{ $labels.hazard }}) have waited for approval for over an hour",
        "See them: lbctl plan. Let one run: lbctl apply --approve DIGEST",
    ),
    Alert(
        "LbctlOrphans",
        "max by (provider, kind) (lbctl_orphans) > 0",
        "1d",
        WARNING,
        "{{ $value }} objects ({{ $labels.kind }}) in {{ $labels.provider }} belong to no Service",
        "They may cost money. See: lbctl gc",
    ),
    Alert(
        "LbctlThrottled",
        "sum by (provider) (rate(lbctl_cloud_throttled_total[15m]))"
        " / sum by (provider) (rate(lbctl_cloud_calls_total[15m])) > 0.01",
        "15m",
        WARNING,
        "{{ $labels.provider }} refuses more than one call in a hundred because there are too many",
        "See lbctl_cloud_calls_total for the operations, and what else uses this account.",
    ),
    Alert(
        "LbctlNoLeader",
        "absent(lbctl_leader == 1)",
        "2m",
        CRITICAL,
        "No lbctl leads: no Service is served and no node change reaches a balancer",
        "See the Pods and the Lease: kubectl -n kube-system get pods,lease -l app.kubernetes.io/name=lbctl",
    ),
    Alert(
        "LbctlNoSuccess",
        "time() - max by (provider) (lbctl_last_success_timestamp_seconds) > 1800",
        "1m",
        CRITICAL,
        "Nothing has gone well in {{ $labels.provider }} for over 30 minutes",
        "See identity, permissions and quotas: lbctl doctor",
    ),
    Alert(
        "LbctlAddressPoolNearlyFull",
        "max by (provider, pool) (lbctl_addresses_in_use) / max by (provider, pool) (lbctl_addresses) > 0.9",
        "5m",
        WARNING,
        "The address pool {{ $labels.pool }} is over nine tenths in use",
        "Add a range to `addresses` in lbctl's settings of {{ $labels.provider }}.",
    ),
)


def rules() -> Object:
    """The rules file."""
    return {"groups": [{"name": "lbctl", "rules": [alert.rule() for alert in ALERTS]}]}
