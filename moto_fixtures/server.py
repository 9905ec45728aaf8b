"""moto's real HTTP server on a port of its own, with the strict and the fault layer in front.

One a process: moto keeps its backends in module globals. Started once a test session, emptied between tests; two test
processes have two servers and never meet. A client is a plain boto3 client with an endpoint URL.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from moto_fixtures import snapshot, wire
from moto_fixtures.calls import CallLog
from moto_fixtures.clock import CloudClock
from moto_fixtures.faults import FaultGate, Faults
from moto_fixtures.strict import SWITCHES
from moto_fixtures.strict.gate import StrictGate
from moto_fixtures.wire import Call, Json

# boto3 makes its client classes at run time.
Client = Any

REGION = "eu-west-1"
# Made up; moto takes any. A driver under test gets them through its environment.
CREDENTIALS = {
    "aws_access_key_id": "AKIALBCTLTESTEXAMPLE",
    "aws_secret_access_key": "made-up-for-the-tests",
}
_SERVICES = ("ec2", "elb", "elbv2", "acm", "iam", "sts")
# One attempt a call: a test that wants the SDK's retries asks for them.
_ONE_ATTEMPT = Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=20)


class _Dispatcher(DomainDispatcherApplication):  # type: ignore[misc]  # moto ships no types
    """Moto's dispatch by host, once a host: moto lists the folder of its own code at every request."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:  # noqa: ANN401 - moto's signature
        """The name of the service behind a host name."""
        if host not in self._backends:
            self._backends[host] = super().get_backend_for_host(host)
        return self._backends[host]


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # as above
    """moto's request handler, with connections kept open and nothing printed.

    werkzeug's closes each connection, so that a call costs a connection and a thread: it does not know that a request
    has been read whole. Here it has, and an answer is sent at once.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request."""
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0)))
        reply = wire.run(self.server.app, environ)
        status, _, reason = reply.status.partition(" ")
        self.send_response(int(status), reason)
        for name, value in (*reply.headers, ("Content-Length", str(len(reply.body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log(self, *_args: object) -> None:
        """The call log is the record."""


class InsideClient:
    """Has the methods of a boto3 client, and asks the strict gate inside the process."""

    def __init__(self, service: str, gate: StrictGate, outside: Client) -> None:
        self._service = service
        self._gate = gate
        self._operations: dict[str, str] = outside.meta.method_to_api_mapping

    def __getattr__(self, method: str) -> Callable[..., Json]:
        operation = self._operations[method]
        return lambda **params: self._gate.ask(Call(self._service, operation, params, {}, REGION, 1))


def _moto() -> DomainDispatcherApplication:
    """Moto's own application, its services loaded: loading one later would draw ids in the middle of a world."""
    moto = _Dispatcher()
    for service in _SERVICES:
        moto.app_instances[service] = create_backend_app(service)
    return moto


class AwsServer:
    """The cloud as a process sees it; `start` before use, `stop` at the end of the session."""

    def __init__(self) -> None:
        # moto's catalogue of machine images is most of an account's size, and no balancer needs one.
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
        self.clock = CloudClock()
        self.strict = StrictGate(_moto(), SWITCHES, self.clock)
        self.calls = CallLog()
        self.faults = Faults(self.strict)
        self._clients: dict[tuple[str, str], Client] = {}
        snapshot.empty(self.strict)

    @cached_property
    def _server(self) -> BaseWSGIServer:
        front = FaultGate(self.strict, self.faults, self.calls)
        return make_server("127.0.0.1", 0, front, threaded=True, request_handler=_Handler)

    def start(self) -> None:
        """Answer on a free port of the loopback interface."""
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="aws", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        for client in self._clients.values():
            client.close()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The URL that a driver is given."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def client(self, service: str) -> Client:
        """A plain boto3 client of the endpoint, one attempt a call; the same one each time."""
        return self._client(service, self.endpoint)

    def backstage(self, service: str) -> Client:
        """The same, but its calls are not logged and meet no faults: for setting a scene and looking at it."""
        return self._client(service, f"{self.endpoint}/backstage")

    def inside(self, service: str) -> Client:
        """The same without HTTP: a third of the time a call, for worlds of thousands of objects."""
        outside = self.backstage(service)
        return InsideClient(service, self.strict, outside) if service in {"ec2", "elb", "elbv2"} else outside

    def _client(self, service: str, url: str) -> Client:
        key = (service, url)
        if key not in self._clients:
            make: Callable[..., Client] = boto3.session.Session(region_name=REGION, **CREDENTIALS).client
            self._clients[key] = make(service, endpoint_url=url, config=_ONE_ATTEMPT)
        return self._clients[key]

    def reset(self) -> None:
        """An empty account, no faults, no log, time zero; switches that a `with` block turned off stay so."""
        self.faults.reset()
        snapshot.empty(self.strict)
        self.calls.clear()
        self.clock.reset()
