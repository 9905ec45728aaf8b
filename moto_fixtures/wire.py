"""Requests as typed parameters and answers as XML, both by the service's own API model.

Every layer in front of moto works on a `Call` and on plain dictionaries with the model's names; this module alone knows
the query and EC2 wire forms. Parsing and writing are moto's and botocore's, and so are the models: what the published
description says is what is read. It knows nothing of rules, faults or worlds.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from moto.core.parse import EC2QueryParser, QueryParser
from moto.core.serialize import EC2Serializer, QuerySerializer
from moto.core.utils import get_service_model

Json = dict[str, Any]
# botocore's models and parsers carry no types.
Model = Any
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

# The API version in the request body names the service: both generations of ELB share one host name.
_SERVICE_OF_VERSION = {"2012-06-01": "elb", "2015-12-01": "elbv2", "2016-11-15": "ec2"}
_PARSERS = {"ec2": EC2QueryParser, "query": QueryParser}
_WRITERS = {"ec2": EC2Serializer, "query": QuerySerializer}
_ERROR_CODE = re.compile(rb"(?:<Code>|\"__type\": \")([\w.]+)")
_READ_PREFIXES = ("Describe", "Get", "List", "Search")
_QUERY_ERROR = "<ErrorResponse>{error}<RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
_EC2_ERROR = "<Response><Errors>{error}</Errors><RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>"
_STATUS_OF_CODE = {
    "AccessDenied": 403,
    "UnauthorizedOperation": 403,
    "InternalFailure": 500,
    "InternalError": 500,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
}


class RefusedError(Exception):
    """The cloud answers a call with an error: the code and text that a client sees."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `service` is boto3's name, `params` are typed by the API model, `form` is what came over the wire.

    `params` is empty for services without a strict model here (STS, ACM, tagging): those are only counted.
    """

    service: str
    operation: str
    params: Json
    form: Mapping[str, str]
    region: str
    attempt: int

    @property
    def writes(self) -> bool:
        """Whether the operation changes the cloud, told by its verb."""
        return not self.operation.startswith(_READ_PREFIXES)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer, held back so that a layer may look at it, change it or drop it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the service did what it was asked."""
        return self.status.startswith("200")

    @property
    def error_code(self) -> str:
        """The service's code of a refusal."""
        found = _ERROR_CODE.search(self.body)
        return found.group(1).decode() if found else self.status

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the client."""
        start_response(self.status, [*self.headers, ("Content-Length", str(len(self.body)))])
        return [self.body]


def read_call(environ: Environ) -> Call | None:
    """The request in `environ` as a Call, leaving the body readable; None for moto's own API and unsigned requests."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
    if len(scope) < 5:  # noqa: PLR2004 - a credential scope has key, date, region, service and a constant
        return None
    form = dict(parse_qsl(_take_body(environ).decode(), keep_blank_values=True))
    service = _SERVICE_OF_VERSION.get(form.get("Version", ""), scope[3])
    operation = form.get("Action") or environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    return Call(service, operation, _typed(service, operation, form), form, scope[2], _attempt(environ))


def rewound(environ: Environ) -> Environ:
    """The same request with its body to be read once more."""
    copied = dict(environ)
    copied["wsgi.input"] = io.BytesIO(environ["wsgi.input"].getvalue())
    return copied


def _take_body(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _attempt(environ: Environ) -> int:
    fields = dict(part.strip().partition("=")[::2] for part in environ.get("HTTP_AMZ_SDK_REQUEST", "").split(";"))
    return int(fields.get("attempt", 1))


@cache
def operation_model(service: str, operation: str) -> Model:
    """The published description of one operation; botocore's OperationNotFoundError when there is none."""
    return get_service_model(service).operation_model(operation)


def _typed(service: str, operation: str, form: Mapping[str, str]) -> Json:
    if service not in _SERVICE_OF_VERSION.values():
        return {}
    model = operation_model(service, operation)
    parsed: Json = _PARSERS[model.service_model.protocol](model).parse({"values": form})
    return parsed


def wire_form(service: str, operation: str, params: Json) -> dict[str, str]:
    """`params` as the form that a client sends, by the API model."""
    model = operation_model(service, operation)
    serializer = create_serializer(model.service_model.protocol, include_validation=False)
    body = serializer.serialize_to_request(params, model)["body"]
    return {key: value if isinstance(value, str) else str(value) for key, value in body.items()}


def run(app: WsgiApp, environ: Environ, params: tuple[Call, Json] | None = None) -> Reply:
    """What `app` answers to the request, with other parameters in place of the client's when `params` has them."""
    inner = dict(environ)
    if params is not None:
        call, replaced = params
        _put_body(inner, urlencode(wire_form(call.service, call.operation, replaced)).encode())
    caught: list[Any] = []
    chunks = app(inner, lambda status, headers, *_: caught.extend((status, headers)))
    body = b"".join(chunks)
    headers = [pair for pair in caught[1] if pair[0].lower() not in {"content-length", "connection"}]
    return Reply(caught[0], headers, body)


def request_environ(call: Call) -> Environ:
    """An environment that asks moto for `call` from inside the process, as if it came over the wire."""
    host = "ec2" if call.service == "ec2" else "elasticloadbalancing"
    environ: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=AKIAINSIDE/20260101/{call.region}/{host}/aws4_request, x",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
    }
    _put_body(environ, urlencode(wire_form(call.service, call.operation, call.params)).encode())
    return environ


def _put_body(environ: Environ, body: bytes) -> None:
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


@cache
def _answer_parser(protocol: str) -> Model:
    return create_parser(protocol)


def read_answer(call: Call, reply: Reply) -> Json:
    """A successful reply as a dictionary with the model's names."""
    model = operation_model(call.service, call.operation)
    raw = {"body": reply.body, "headers": {}, "status_code": 200}
    answer: Json = _answer_parser(model.service_model.protocol).parse(raw, model.output_shape)
    answer.pop("ResponseMetadata", None)
    return answer


def write_answer(call: Call, answer: Json) -> Reply:
    """A dictionary with the model's names as a successful reply."""
    model = operation_model(call.service, call.operation)
    written = _WRITERS[model.service_model.protocol](model).serialize(answer)
    return Reply("200 OK", [("Content-Type", "text/xml")], written["body"].encode())


def write_refusal(call: Call, refusal: RefusedError) -> Reply:
    """An error in the service's wire form, with the HTTP status that AWS gives its code."""
    status = f"{_STATUS_OF_CODE.get(refusal.code, 400)} Refused"
    code, message = escape(refusal.code), escape(refusal.message)
    if "Action" not in call.form:
        body = json.dumps({"__type": refusal.code, "message": refusal.message})
        return Reply(status, [("Content-Type", "application/x-amz-json-1.1")], body.encode())
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    wrapped = _EC2_ERROR if call.service == "ec2" else _QUERY_ERROR
    return Reply(status, [("Content-Type", "text/xml")], wrapped.format(error=error).encode())
