"""The HTTP front: reads GET and POST, verifies the signature, checks the arguments, answers in the API's envelope."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.clouds.cloudstack import addressing, balancing, filtering
from tests.clouds.cloudstack.cloud import Arguments, Cloud, Row, visible
from tests.clouds.cloudstack.faults import Fault, How, Moment, is_write
from tests.clouds.cloudstack.objects import answer_machine, answer_network
from tests.clouds.cloudstack.refusals import Refusal, invalid
from tests.clouds.cloudstack.signing import verify

ACCOUNT_ID = "0000000d-0000-4000-8000-000000000001"
UNLIMITED = 1000
API_KEY, SECRET_KEY = "key+/=~Alice".replace("~", ""), "s3cret/+=of Alice"


def list_networks(cloud: Cloud, args: Arguments) -> Row:
    """Guest networks."""
    rows = [
        answer_network(n, cloud.acl_lists[n.acl_id].name if n.acl_id else "")
        for n in cloud.networks.values()
        if args.get("id") in (None, "", n.id) and visible(n, args)
    ]
    return cloud.listed("network", rows, args)


def list_machines(cloud: Cloud, args: Arguments) -> Row:
    """Virtual machines with their NICs."""
    ids = args.get("ids")
    rows = [answer_machine(m) for m in cloud.machines.values() if (not ids or m.id in ids) and visible(m, args)]
    return cloud.listed("virtualmachine", rows, args)


def list_capabilities(cloud: Cloud, _args: Arguments) -> Row:
    """Release and API limits."""
    versions = {"4.17": "4.17.2.0", "4.18": "4.18.0.0", "4.22": "4.22.1.0", "next": "4.23.0.0"}
    capability: Row = {"cloudstackversion": versions[cloud.release]}
    most, interval = cloud.api_limit
    if most:
        capability |= {"apilimitmax": most, "apilimitinterval": interval}
    return {"capability": capability}


def list_apis(cloud: Cloud, args: Arguments) -> Row:
    """The description of one command, as far as the role has it, or of all that it has."""
    asked = str(args.get("name") or "")
    names = [cloud.catalog.name_of(asked)] if asked else cloud.catalog.allowed()
    return {"count": len(names), "api": [cloud.catalog.describe(name) for name in names]}


def list_accounts(cloud: Cloud, args: Arguments) -> Row:
    """The caller's own account: limits are text, and what projects own does not count."""
    limit = "Unlimited" if cloud.address_limit >= UNLIMITED else str(cloud.address_limit)
    row = {"id": ACCOUNT_ID, "name": "lbctl", "domain": "ROOT/shop", "rolename": "lbctl", "roletype": "User"}
    return cloud.listed("account", [row | {"iplimit": limit, "iptotal": cloud.used_addresses("")}], args)


def list_projects(cloud: Cloud, args: Arguments) -> Row:
    """The projects that the account is a member of: here those that own networks, each called `team`."""
    owners = sorted({network.project_id for network in cloud.networks.values()} - {""})
    rows = [
        {"id": project, "name": "team", "iplimit": "20", "iptotal": cloud.used_addresses(project)}
        for project in owners
        if args.get("id") in (None, "", project) and args.get("name") in (None, "", "team")
    ]
    return cloud.listed("project", rows, args)


def query_job(cloud: Cloud, args: Arguments) -> Row:
    """One job; one that was purged is an unknown id."""
    return cloud.find(cloud.jobs.by_id, "jobid", str(args["jobid"])).row()


def list_jobs(cloud: Cloud, args: Arguments) -> Row:
    """All jobs that are remembered."""
    return cloud.listed("asyncjobs", [job.row() | {"id": job.id} for job in cloud.jobs.by_id.values()], args)


HANDLERS: dict[str, Callable[[Cloud, Arguments], Row]] = {
    "listCapabilities": list_capabilities,
    "listApis": list_apis,
    "listAccounts": list_accounts,
    "listProjects": list_projects,
    "listNetworks": list_networks,
    "listVirtualMachines": list_machines,
    "queryAsyncJobResult": query_job,
    "listAsyncJobs": list_jobs,
    "listPublicIpAddresses": addressing.list_addresses,
    "associateIpAddress": addressing.associate,
    "disassociateIpAddress": addressing.disassociate,
    "createTags": addressing.create_tags,
    "deleteTags": addressing.delete_tags,
    "listLoadBalancerRules": balancing.list_rules,
    "createLoadBalancerRule": balancing.create_rule,
    "updateLoadBalancerRule": balancing.update_rule,
    "deleteLoadBalancerRule": balancing.delete_rule,
    "assignToLoadBalancerRule": balancing.assign,
    "removeFromLoadBalancerRule": balancing.remove,
    "listLoadBalancerRuleInstances": balancing.list_members,
    "createLBStickinessPolicy": balancing.create_stickiness,
    "deleteLBStickinessPolicy": balancing.delete_stickiness,
    "listLBStickinessPolicies": balancing.list_stickiness,
    "createLBHealthCheckPolicy": balancing.create_health,
    "deleteLBHealthCheckPolicy": balancing.delete_health,
    "listLBHealthCheckPolicies": balancing.list_health,
    "listFirewallRules": filtering.list_firewalls,
    "createFirewallRule": filtering.create_firewall,
    "deleteFirewallRule": filtering.delete_firewall,
    "listNetworkACLLists": filtering.list_acl_lists,
    "listNetworkACLs": filtering.list_acl_items,
    "createNetworkACL": filtering.create_acl_item,
    "updateNetworkACLItem": filtering.update_acl_item,
    "deleteNetworkACL": filtering.delete_acl_item,
    "listPortForwardingRules": filtering.list_forwardings,
}


class CloudStackServer:
    """A running server with one account; `skew_seconds` shifts its clock, `only_post` refuses GET with 405."""

    def __init__(self, cloud: Cloud | None = None) -> None:
        self.cloud = cloud or Cloud()
        self.secrets = {API_KEY: SECRET_KEY}
        self.skew_seconds = 0.0
        self.only_post = False
        self.methods: list[str] = []
        self.late: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(_Handler):
            front = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._http.server_port}/client/api"

    def let_in(self) -> None:
        """Carry out the requests that were held up on their way; nobody waits for their answers."""
        while self.late:
            _, raw = self.late.pop(0)
            with suppress(Refusal):
                self.answer(raw)

    def wall_clock(self) -> datetime:
        """The server's idea of the time."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.skew_seconds, UTC)  # noqa: TID251 - clients sign with the machine's time

    def answer(self, raw: dict[str, str]) -> tuple[str, Row]:
        """The answer to a request, under the command's name; raises `Refusal`."""
        by_lower = {name.lower(): value for name, value in raw.items()}
        asked = by_lower.get("command", "")
        verify(raw, self.secrets, now=self.wall_clock())
        if "page" in by_lower and "pagesize" not in by_lower:
            raise invalid("pageSize must be specified together with page")
        cloud = self.cloud
        with cloud.lock:
            cloud.allow_call()
            cloud.jobs.advance()
            command = cloud.catalog.name_of(asked)
            args = cloud.catalog.read(command, raw)
            args |= {name: by_lower[name] for name in ("page", "pagesize") if name in by_lower}
            return command, HANDLERS[command](cloud, args)


class _Handler(BaseHTTPRequestHandler):
    front: CloudStackServer
    protocol_version = "HTTP/1.1"
    # An answer is two small writes: without this each waits for the peer's delayed acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def _serve(self, text: str) -> None:
        raw = dict(parse_qsl(text, keep_blank_values=True))
        command = raw.get("command", "")
        self.front.methods.append(self.command)
        with self.front.cloud.lock:
            fault = self.front.cloud.faults.note(command, raw)
        if fault is not None and fault.how is How.JOB:
            text = "Internal error executing command, please contact your administrator"
            self.front.cloud.jobs.fail[command] = Refusal(530, text)
            fault = None
        if fault is not None and fault.how is How.LATE:
            self.front.late.append((command, raw))
        if fault is not None and fault.moment is Moment.BEFORE:
            self._fail(command, fault)
            return
        status, body = self._answered(command, raw)
        if fault is not None:
            self._fail(command, fault)
        else:
            self._send(status, body)

    def _answered(self, command: str, raw: dict[str, str]) -> tuple[int, Row]:
        envelope = f"{command.lower()}response"
        if self.front.only_post and self.command == "GET" and is_write(command):
            return 405, _error(envelope, 405, "HTTP method GET is not allowed for this command")
        try:
            _, answer = self.front.answer(raw)
        except Refusal as refusal:
            return refusal.code, _error(envelope, refusal.code, refusal.text)
        return 200, {envelope: answer}

    def _fail(self, command: str, fault: Fault) -> None:
        envelope = f"{command.lower()}response"
        if fault.how in (How.RESET, How.LATE):
            self.close_connection = True
            self.connection.close()
        elif fault.how is How.HTML:
            self._send_bytes(503, b"<html>503 Service Unavailable</html>", "text/html")
        elif fault.how is How.THROTTLE:
            text = "The given user has reached his/her account api limit, please retry after [700] ms."
            self._send(429, _error(envelope, 429, text))
        else:
            self._send(
                530, _error(envelope, 530, "Internal error executing command, please contact your administrator")
            )

    def _send(self, status: int, body: Row) -> None:
        self._send_bytes(status, json.dumps(body).encode(), "application/json;charset=UTF-8")

    def _send_bytes(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(timestamp or self.front.wall_clock().timestamp())

    def log_message(self, *_: Any) -> None:
        """Be quiet: the ledger has every call."""


def _error(envelope: str, code: int, text: str) -> Row:
    return {envelope: {"uuidList": [], "errorcode": code, "cserrorcode": 9999, "errortext": text}}
