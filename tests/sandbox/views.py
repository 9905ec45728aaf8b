"""Services and EndpointSlices for tests, with defaults for all that a test does not speak about."""

from __future__ import annotations

from typing import Any

import msgspec

from lbctl.model.objects import EndpointSlice, Service


def service(
    *ports: dict[str, Any], name: str = "web", annotations: dict[str, str] | None = None, **spec: Any
) -> Service:
    """A LoadBalancer Service in namespace shop that selects app=NAME; without ports one HTTP port on 30080."""
    defaults = {"type": "LoadBalancer", "selector": {"app": name}, "ipFamilies": ["IPv4"]}
    return msgspec.convert(
        {
            "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "annotations": annotations or {}},
            "spec": {**defaults, "ports": list(ports) or [{"name": "http", "port": 80, "nodePort": 30080}], **spec},
        },
        Service,
    )


def endpoint(address: str, node: str, **conditions: bool) -> dict[str, Any]:
    """An endpoint on a node, ready unless said otherwise."""
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def endpoint_slice(
    *endpoints: dict[str, Any], port: int = 8080, port_name: str = "http", protocol: str = "TCP", family: str = "IPv4"
) -> EndpointSlice:
    """A slice of the Service shop/web with one port."""
    return msgspec.convert(
        {
            "metadata": {
                "namespace": "shop",
                "name": f"web-{family.lower()}",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": family,
            "endpoints": list(endpoints),
            "ports": [{"name": port_name, "port": port, "protocol": protocol}],
        },
        EndpointSlice,
    )
