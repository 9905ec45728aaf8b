"""The methods of the API on the store: what each verb checks, when it takes effect, and what the server fills in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.clouds.gce import rules
from tests.clouds.gce.description import Method, check_parameters, checked
from tests.clouds.gce.errors import Refusal, exists, in_use, invalid, not_found, not_ready, quota, stale
from tests.clouds.gce.faults import Fault, Journal, is_read
from tests.clouds.gce.filters import parse_filter
from tests.clouds.gce.membership import MEMBERSHIP
from tests.clouds.gce.operations import Operation, Operations
from tests.clouds.gce.permissions import needs
from tests.clouds.gce.probing import backend_health, pool_health
from tests.clouds.gce.store import ROOT, Body, Store, path_of

PATCHABLE = {"forwardingRules": {"allowGlobalAccess", "networkTier", "fingerprint", "labels", "description"}}
LINKS = ("backendService", "target", "network", "subnetwork", "group", "instance", "healthChecks", "instances")
QUOTAS = {
    "forwardingRules": "FORWARDING_RULES",
    "firewalls": "FIREWALLS",
    "addresses": "STATIC_ADDRESSES",
    "backendServices": "BACKEND_SERVICES",
    "healthChecks": "HEALTH_CHECKS",
}
REGIONAL = frozenset({"forwardingRules", "addresses", "backendServices"})
MOST_PERMISSIONS = 100
PAGE = 500
Reply = dict[str, Any]


class Compute:
    """One Compute Engine; `now` may be a clock that only tests move."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.store = Store()
        self.operations = Operations(now)
        self.journal = Journal()
        self.faults: list[Fault] = []
        self.limits: dict[str, int] = {}
        self.denied: set[tuple[str, str]] = set()
        self.granted: dict[str, set[str]] | None = None
        self.has_resource_manager = True
        self.sick: set[str] = set()
        self.wrong_replies: list[str] = []
        self.lock = threading.RLock()

    def handle(self, method: Method, path: dict[str, str], query: dict[str, str], body: Any) -> tuple[Reply, bool]:
        """The reply, and whether it gets lost on the way."""
        with self.lock:
            self.journal.calls.append(method.id)
            self.operations.advance()
            fault = next((fault for fault in self.faults if fault.hits(method.id)), None)
            if fault is not None and fault.refusal is not None and not fault.in_operation:
                raise fault.refusal
            if (path.get("project", ""), method.id) in self.denied:
                raise Refusal(403, "forbidden", f"Required 'compute.{method.id}' permission for '{path['project']}'")
            check_parameters(method, path, query)
            given = checked(method.request, body, reply=False) if method.request else {}
            self._authorize(method, path, given)
            reply = self._dispatch(method, {**path, **query}, given, fault)
            try:
                checked(method.response, reply, reply=True)
            except Refusal as wrong:
                self.wrong_replies.append(f"{method.id}: {wrong.message}")
                raise
            return reply, bool(fault and fault.lost)

    def test_permissions(self, project: str, body: Any) -> Reply:
        """What Cloud Resource Manager answers: those of the permissions that the caller has."""
        asked = body.get("permissions", [])
        if not self.has_resource_manager:
            message = f"Cloud Resource Manager API has not been used in project {project} before or it is disabled."
            raise Refusal(403, "accessNotConfigured", message)
        if set(body) != {"permissions"} or len(asked) > MOST_PERMISSIONS:
            raise invalid("Request contains an invalid argument.")
        return {"permissions": [one for one in asked if self.granted is None or one in self.granted.get(project, ())]}

    def _authorize(self, method: Method, path: dict[str, str], body: Body) -> None:
        if self.granted is None:
            return
        has_target = method.name in ("delete", "patch")
        target = _target(method, _place(path), _collection(method), path) if has_target else ""
        for project, permission in needs(method.id, path["project"], target, body, self.store):
            if permission not in self.granted.get(project, ()):
                raise Refusal(403, "forbidden", f"Required '{permission}' permission for 'projects/{project}'")

    def _dispatch(self, method: Method, params: dict[str, str], body: Body, fault: Fault | None) -> Reply:
        if method.id.split(".")[0].endswith("Operations"):
            return self._operation(method, params)
        repeated = self.operations.repeated(params.get("requestId", ""))
        if repeated is not None:
            return repeated.body()
        collection = _collection(method)
        place = _place(params)
        if is_read(method.id):
            return self._read(method, collection, place, params, body)
        operation = self._write(method, collection, place, params, body)
        if fault is not None and fault.in_operation:
            operation.error = fault.refusal
        return operation.body()

    # -- reads ------------------------------------------------------------------------------------------------------

    def _quotas(self, project: str, *, of_region: bool) -> list[dict[str, Any]]:
        """Used and limit of each metric."""
        return [
            {"metric": metric, "limit": float(self.limits.get(metric, 100)), "usage": float(used)}
            for collection, metric in QUOTAS.items()
            if (collection in REGIONAL) is of_region
            for used in [sum(1 for _ in self.store.of(collection, project))]
        ]

    def _read(self, method: Method, collection: str, place: str, params: dict[str, str], body: Body) -> Reply:
        if method.id in ("regions.get", "projects.get"):
            of_region = method.id == "regions.get"
            name = params["region" if of_region else "project"]
            return {"name": name, "quotas": self._quotas(params["project"], of_region=of_region)}
        if method.name == "get":
            found = self.store.get(_target(method, place, collection, params))
            if found is None:
                raise not_found(_target(method, place, collection, params))
            return found
        if method.name == "getHealth":
            tell = {"backendServices": backend_health, "targetPools": pool_health}[collection]
            return tell(self.store, _target(method, place, collection, params), body, self.sick)
        if method.name in ("listInstances", "listNetworkEndpoints"):
            path = _target(method, place, collection, params)
            if path not in self.store.objects:
                raise not_found(path)
            items = MEMBERSHIP[collection].listed(self.store, path)
            return _page(f"compute#{collection}Members", items, params)
        wanted = parse_filter(params.get("filter", ""))
        prefix = f"projects/{params['project']}/" if method.name == "aggregatedList" else f"{place}/{collection}/"
        matches = [b for p, b in self.store.of(collection, params["project"]) if p.startswith(prefix) and wanted(b)]
        if method.name == "list":
            return _page(f"compute#{collection.removesuffix('s')}List", matches, params)
        return self._aggregated(collection, matches, params)

    def _aggregated(self, collection: str, matches: list[Body], params: dict[str, str]) -> Reply:
        page = _page(f"compute#{collection.removesuffix('s')}AggregatedList", matches, params)
        groups: dict[str, dict[str, list[Body]]] = {}
        for body in page.pop("items"):
            where = path_of(body["selfLink"]).split("/")
            key = "/".join(where[2:4]) if where[2] != "global" else "global"
            groups.setdefault(key, {collection: []})[collection].append(body)
        return {**page, "items": groups}

    def _operation(self, method: Method, params: dict[str, str]) -> Reply:
        if method.name in ("get", "wait"):
            found = self.operations.by_name.get(params["operation"])
            if found is None or _place(params) != found.place:
                raise not_found(f"{_place(params)}/operations/{params['operation']}")
            return found.body()
        wanted = parse_filter(params.get("filter", ""))
        bodies = [o.body() for o in self.operations.by_name.values() if o.place.split("/")[1] == params["project"]]
        return self._aggregated("operations", [body for body in bodies if wanted(body)], params)

    # -- writes -----------------------------------------------------------------------------------------------------

    def _write(self, method: Method, collection: str, place: str, params: dict[str, str], body: Body) -> Operation:
        path = f"{place}/{collection}/{body['name']}" if method.name == "insert" else ""
        path = path or _target(method, place, collection, params)
        if self.operations.on(path) is not None:
            raise exists(path) if method.name == "insert" else not_ready(path)
        if method.name != "insert" and path not in self.store.objects:
            raise not_found(path)
        effect = self._effect(method, collection, path, _linked(body, f"projects/{params['project']}"))
        return self.operations.start(place, method.name, path, effect, request_id=params.get("requestId", ""))

    def _effect(self, method: Method, collection: str, path: str, body: Body) -> Callable[[], None]:
        if method.name == "insert":
            return self._insert(collection, path, body)
        if method.name == "delete":
            return self._delete(path)
        if method.name in ("patch", "update"):
            return self._change(collection, path, body, merge=method.name == "patch")
        if method.name == "setTarget":
            return self._set_target(path, body)
        if collection in MEMBERSHIP and method.name in MEMBERSHIP[collection].verbs:
            return MEMBERSHIP[collection].verbs[method.name](self.store, path, body)
        raise invalid(f"{method.id} is not modelled here")

    def _insert(self, collection: str, path: str, body: Body) -> Callable[[], None]:
        if path in self.store.objects:
            raise exists(path)
        metric = QUOTAS.get(collection, "")
        project, where = path.split("/")[1], path.split("/")[3]
        if metric in self.limits and sum(1 for _ in self.store.of(collection, project)) >= self.limits[metric]:
            raise quota(metric, self.limits[metric], where)
        body = {**_defaults(collection), **body}
        rules.check(self.store, path, body)
        if collection == "addresses":
            self._check_reservation(path, body)
        return lambda: self._make(collection, path, body)

    def _make(self, collection: str, path: str, body: Body) -> None:
        filled = dict(body)
        if collection == "forwardingRules":
            filled = self._with_ip(body, "IPAddress")
        elif collection == "addresses":
            filled = {**self._with_ip(body, "address"), "status": "RESERVED"}
        instances = filled.pop("instances", None)
        self.store.put(path, filled)
        if collection in MEMBERSHIP:
            self.store.set_members(path, [path_of(link) for link in instances or ()])

    def _with_ip(self, body: Body, field: str) -> Body:
        given = body.get(field)
        if given:
            return {**body, field: self._number(given)}
        if body.get("ipVersion") == "IPV6":
            return {**body, field: self.store.new_external_v6()}
        internal = "INTERNAL" in (body.get("loadBalancingScheme"), body.get("addressType"))
        if not internal:
            return {**body, field: self.store.new_external()}
        subnet = self.store.objects[path_of(body["subnetwork"])]
        return {**body, field: self.store.new_internal(subnet["ipCidrRange"])}

    def _number(self, given: str) -> str:
        found = self.store.objects.get(path_of(given))
        return str(found["address"]) if found else given

    def _check_reservation(self, path: str, body: Body) -> None:
        wanted = body.get("address")
        if not wanted:
            return
        internal = body.get("addressType") == "INTERNAL"
        taken = any(rules.same_ip(a["address"], wanted) for _, a in self.store.of("addresses", path.split("/")[1]))
        rule = next((r for _, r in self.store.of("forwardingRules") if rules.same_ip(r["IPAddress"], wanted)), None)
        if taken and internal:
            raise Refusal(
                409, "IP_IN_USE_BY_ANOTHER_RESOURCE", f"IP '{wanted}' is already being used by another resource."
            )
        if taken or (not internal and rule is None):
            raise invalid(
                f"Invalid value for field 'resource.address': '{wanted}'. Specified IP address is already reserved."
            )
        if rule and rule.get("networkTier", "PREMIUM") != body.get("networkTier", "PREMIUM"):
            raise invalid("The network tier of the address differs from that of the resource which uses it")

    def _delete(self, path: str) -> Callable[[], None]:
        self._refuse_used(path)

        def effect() -> None:
            self._refuse_used(path)
            self.store.drop(path)

        return effect

    def _refuse_used(self, path: str) -> None:
        user = next(self.store.users_of(path), None)
        if user is not None:
            raise in_use(path, user)

    def _change(self, collection: str, path: str, body: Body, *, merge: bool) -> Callable[[], None]:
        old = self.store.objects[path]
        given = body.pop("fingerprint", None)
        if collection == "backendServices" and not merge and given is None:
            raise Refusal(400, "required", "Required field 'resource.fingerprint' not specified")
        if given is not None and given != old.get("fingerprint"):
            raise stale()
        allowed = PATCHABLE.get(collection)
        if allowed is not None and not set(body) <= allowed:
            raise invalid(f"Fields {sorted(set(body) - allowed)} cannot be changed on a forwarding rule")
        new = _patched(old, body) if merge else {**_defaults(collection), **body, "name": old["name"]}
        rules.check(self.store, path, new, old=old)
        return lambda: self._store_change(path, new)

    def _store_change(self, path: str, new: Body) -> None:
        self.store.put(path, new)

    def _set_target(self, path: str, body: Body) -> Callable[[], None]:
        new = {**self.store.objects[path], "target": body["target"]}
        new.pop("backendService", None)
        if path_of(body["target"]) not in self.store.objects:
            raise not_found(path_of(body["target"]))
        if "/targetPools/" not in body["target"]:
            raise invalid("Invalid value for field 'resource.target': it must be a target")
        return lambda: self._store_change(path, new)


def _patched(old: Body, patch: Body) -> Body:
    """As a JSON merge patch works: what an object does not name stays, a list is taken whole."""
    nested = {k: _patched(old[k], v) for k, v in patch.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return {**old, **patch, **nested}


def _collection(method: Method) -> str:
    words = method.pattern.pattern.split("/")
    fixed = [word for word in words if not word.startswith("(?P") and word.isalpha()]
    return fixed[-1] if fixed[-1] != method.name else fixed[-2]


def _place(params: dict[str, str]) -> str:
    project = f"projects/{params['project']}"
    if "region" in params:
        return f"{project}/regions/{params['region']}"
    return f"{project}/zones/{params['zone']}" if "zone" in params else f"{project}/global"


def _target(method: Method, place: str, collection: str, params: dict[str, str]) -> str:
    name = next(value for key, value in params.items() if key in method.pattern.groupindex and key not in PLACES)
    return f"{place}/{collection}/{name}"


PLACES = ("project", "region", "zone")


def _page(kind: str, items: list[Any], params: dict[str, str]) -> Reply:
    start, size = int(params.get("pageToken", 0)), min(int(params.get("maxResults", PAGE)), PAGE)
    page: Reply = {"kind": kind, "items": items[start : start + size]}
    if start + size < len(items):
        page["nextPageToken"] = str(start + size)
    return page


def _linked(body: Any, project: str, name: str = "") -> Any:
    """The body with every reference in the form in which the API returns it."""
    if isinstance(body, dict):
        return {key: _linked(item, project, key) for key, item in body.items()}
    if isinstance(body, list):
        return [_linked(item, project, name) for item in body]
    if isinstance(body, str) and name in LINKS and "/" in body:
        return ROOT + path_of(body, base=project)
    return body


def _defaults(collection: str) -> Body:
    return {
        "forwardingRules": {"networkTier": "PREMIUM", "IPProtocol": "TCP"},
        "addresses": {"addressType": "EXTERNAL", "networkTier": "PREMIUM"},
        "backendServices": {"sessionAffinity": "NONE", "timeoutSec": 30},
        "firewalls": {"priority": 1000, "direction": "INGRESS"},
        "targetPools": {"sessionAffinity": "NONE"},
    }.get(collection, {})
