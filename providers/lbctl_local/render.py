"""Pools and listeners as Envoy's configuration: pure, the only module that knows its field names.

Cluster, Listener, TcpProxy, UdpProxyConfig, HealthCheck: envoyproxy/envoy v1.40, api/envoy/{config,extensions}. Text
and numbers in, JSON-able dictionaries out; equal specs give equal dictionaries, which is how drift is found.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from lbctl_local.names import MARK
from lbctl_local.spec import ListenerSpec, PoolSpec

Json = dict[str, Any]
TYPE = "type.googleapis.com/"
CLUSTER_TYPE = f"{TYPE}envoy.config.cluster.v3.Cluster"
LISTENER_TYPE = f"{TYPE}envoy.config.listener.v3.Listener"
FILTERS = f"{TYPE}envoy.extensions.filters"
SOCKETS = f"{TYPE}envoy.extensions.transport_sockets"

POLICIES = {"round-robin": "ROUND_ROBIN", "random": "RANDOM", "least-request": "LEAST_REQUEST", "maglev": "MAGLEV"}
CONNECT_SECONDS = "3s"
# A target that refuses costs the client nothing while another one accepts.
CONNECT_ATTEMPTS = 3
DOWN_INTERVAL_SECONDS = 2
# Without a limit of our own, Envoy's circuit breaker refuses the 1,025th connection of a pool.
NO_LIMIT = 4_294_967_295
# Admits no client: the way to say that all ranges of a Service belong to the other address family.
NOBODY = {4: "255.255.255.255/32", 6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"}

ACCESS_FIELDS = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "listener": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "target": "%UPSTREAM_HOST%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
    "flags": "%RESPONSE_FLAGS%",
}


def render_cluster(name: str, spec: PoolSpec, *, marks: Mapping[str, str]) -> Json:
    """The cluster with its targets inside: a file for each cluster costs one inotify instance each (128 a user)."""
    cluster: Json = {
        "@type": CLUSTER_TYPE,
        "name": name,
        "type": "STATIC",
        "connect_timeout": CONNECT_SECONDS,
        "lb_policy": POLICIES[spec.algorithm],
        # Nothing healthy: fail at once. Envoy's default sends to unhealthy targets as soon as half of them are, which
        # for traffic policy Local is the normal state of a Service with few pods.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [{"max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": _endpoints(spec)}]},
        "metadata": _metadata(spec, marks, without="targets"),
    }
    if spec.check != "none":
        cluster["health_checks"] = [_health_check(spec)]
    if spec.proxy_protocol:
        cluster["transport_socket_matches"] = _proxy_sockets(spec.proxy_protocol)
    return cluster


def render_listener(name: str, spec: ListenerSpec, *, marks: Mapping[str, str]) -> Json:
    """The listener of one port on one address."""
    listener: Json = {
        "@type": LISTENER_TYPE,
        "name": name,
        "stat_prefix": spec.pool,
        "address": _socket_address(spec.address, spec.port, protocol=spec.protocol),
        "metadata": _metadata(spec, marks),
    }
    if spec.protocol == "UDP":
        return listener | {"udp_listener_config": {}, "listener_filters": [_udp_proxy(spec)]}
    return listener | {"filter_chains": [{"filter_chain_match": _sources(spec), "filters": _tcp_filters(spec)}]}


def split_target(target: str) -> tuple[str, int]:
    """Address and port of `10.0.0.1:80` or `[fd00::1]:80`."""
    address, _, port = target.rpartition(":")
    return address.strip("[]"), int(port)


def join_target(address: str, port: int) -> str:
    """The inverse of `split_target`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _metadata(spec: PoolSpec | ListenerSpec, marks: Mapping[str, str], *, without: str = "") -> Json:
    shown = {key: value for key, value in msgspec.to_builtins(spec, order="sorted").items() if key != without}
    return {"filter_metadata": {MARK: {**marks, "spec": shown}}}


def _socket_address(address: str, port: int, *, protocol: str = "TCP") -> Json:
    return {"socket_address": {"protocol": protocol, "address": address, "port_value": port}}


def _endpoints(spec: PoolSpec) -> list[Json]:
    check = {"health_check_config": {"port_value": spec.check_port}} if spec.check_port else {}
    return [
        {"endpoint": {"address": _socket_address(*split_target(target), protocol=spec.protocol), **check}}
        for target in sorted(spec.targets)
    ]


def _health_check(spec: PoolSpec) -> Json:
    http = {"http_health_check": {"path": spec.check_path, "host": "lbctl"}}
    return {
        "timeout": f"{spec.check_timeout}s",
        "interval": f"{spec.check_interval}s",
        # A pool without traffic would otherwise be checked once a minute.
        "no_traffic_interval": f"{spec.check_interval}s",
        # A target that is known to be down is asked more often, so that it serves soon after it is back.
        "unhealthy_interval": f"{min(spec.check_interval, DOWN_INTERVAL_SECONDS)}s",
        "healthy_threshold": spec.check_healthy_after,
        "unhealthy_threshold": spec.check_unhealthy_after,
        "always_log_health_check_failures": False,
        # The check must not speak the PROXY protocol: the kubelet and kube-proxy do not understand it.
        "transport_socket_match_criteria": {"check": True},
        **(http if spec.check == "http" else {"tcp_health_check": {}}),
    }


def _proxy_sockets(version: str) -> list[Json]:
    raw = {"name": "raw", "typed_config": {"@type": f"{SOCKETS}.raw_buffer.v3.RawBuffer"}}
    proxy = {
        "@type": f"{SOCKETS}.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version.upper()},
        "transport_socket": raw,
    }
    return [
        {"name": "check", "match": {"check": True}, "transport_socket": raw},
        {"name": "traffic", "match": {}, "transport_socket": {"name": "proxy", "typed_config": proxy}},
    ]


def _tcp_filters(spec: ListenerSpec) -> list[Json]:
    proxy: Json = {
        "@type": f"{FILTERS}.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": spec.pool,
        "cluster": spec.pool,
        "idle_timeout": f"{spec.idle_seconds}s",
        "max_connect_attempts": CONNECT_ATTEMPTS,
        "access_log": _access_log(spec.access_log),
    }
    if spec.by_client:
        proxy["hash_policy"] = [{"source_ip": {}}]
    return [*_connection_limit(spec), {"name": "tcp", "typed_config": proxy}]


def _connection_limit(spec: ListenerSpec) -> list[Json]:
    if not spec.max_connections:
        return []
    config = {
        "@type": f"{FILTERS}.network.connection_limit.v3.ConnectionLimit",
        "stat_prefix": spec.pool,
        "max_connections": spec.max_connections,
    }
    return [{"name": "limit", "typed_config": config}]


def _udp_proxy(spec: ListenerSpec) -> Json:
    proxy: Json = {
        "@type": f"{FILTERS}.udp.udp_proxy.v3.UdpProxyConfig",
        "stat_prefix": spec.pool,
        "matcher": _udp_matcher(spec),
        "idle_timeout": f"{spec.idle_seconds}s",
        "access_log": _access_log(spec.access_log),
    }
    if spec.by_client:
        proxy["hash_policies"] = [{"source_ip": True}]
    return {"name": "udp", "typed_config": proxy}


def _udp_matcher(spec: ListenerSpec) -> Json:
    route = {"@type": f"{FILTERS}.udp.udp_proxy.v3.Route", "cluster": spec.pool}
    action = {"action": {"name": "route", "typed_config": route}}
    if not spec.source_ranges:
        return {"on_no_match": action}
    source = {"@type": f"{TYPE}envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"}
    matcher = {
        "@type": f"{TYPE}xds.type.matcher.v3.IPMatcher",
        "range_matchers": [{"ranges": _ranges(spec), "on_match": action}],
    }
    return {
        "matcher_tree": {
            "input": {"name": "source", "typed_config": source},
            "custom_match": {"name": "ranges", "typed_config": matcher},
        }
    }


def _sources(spec: ListenerSpec) -> Json:
    return {"source_prefix_ranges": _ranges(spec)} if spec.source_ranges else {}


def _ranges(spec: ListenerSpec) -> list[Json]:
    version = ipaddress.ip_address(spec.address).version
    networks = [ipaddress.ip_network(cidr) for cidr in sorted(spec.source_ranges)]
    served = [net for net in networks if net.version == version] or [ipaddress.ip_network(NOBODY[version])]
    return [{"address_prefix": str(net.network_address), "prefix_len": net.prefixlen} for net in served]


def _access_log(path: str) -> list[Json]:
    if not path:
        return []
    config = {
        "@type": f"{TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": ACCESS_FIELDS},
    }
    return [{"name": "file", "typed_config": config}]


def render_bootstrap(*, admin_socket: str, lds: str, cds: str, node_id: str, max_connections: int) -> Json:
    """What Envoy starts with: where its admin interface is and which files to follow; the rest is discovered."""
    return {
        "node": {"id": node_id, "cluster": "lbctl"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "dynamic_resources": {"lds_config": _file_source(lds), "cds_config": _file_source(cds)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}envoy.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": max_connections,
                    },
                }
            ]
        },
    }


def _file_source(path: str) -> Json:
    return {"path_config_source": {"path": path}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
