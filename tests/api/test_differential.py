"""One table of requests and the answers that any Kubernetes API server gives to them.

The rows are data in `requests/*.yaml`. They run on the embedded server always, and on a real etcd and kube-apiserver
where those are installed: a difference is a fault of the embedded server. How a row reads:

`have` is the spec of a Service `web` that exists already, `first` are requests that are sent before and must succeed;
`do` is the request, with `body`, `type` (of a patch: merge, strategic, json or apply) and `headers`. Expected are
`code`, `reason`, `causes` (reason and field, in any order), `says` (part of the message), `shows` (part of the answer)
and `now` (part of the object afterwards; a number is the code of reading it). `$set` matches anything, `$absent`
nothing, and `$ns`, `$uid`, `$rv` and `$number` are the row's namespace, what the last request before returned, and a
number of the row's own.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.kube_servers import Answer, Kube

ROWS = [
    pytest.param(row, id=f"{file.stem}: {row['row']}")
    for file in sorted(Path(__file__).parent.joinpath("requests").glob("*.yaml"))
    for row in yaml.safe_load(file.read_text())
]
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
GROUPS = {"leases": "/apis/coordination.k8s.io/v1", "deployments": "/apis/apps/v1"}
GROUPS |= {"endpointslices": "/apis/discovery.k8s.io/v1"}
KNOWN_KEYS = {
    "row",
    "have",
    "first",
    "do",
    "type",
    "body",
    "headers",
    "code",
    "reason",
    "causes",
    "says",
    "shows",
    "now",
}
NUMBERS = itertools.count(1)


class Stage:
    """One row's namespace and what its placeholders stand for."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        number = next(NUMBERS)
        self.words = {"$ns": f"row-{number}", "$number": str(number)}
        self._must("POST", "/api/v1/namespaces", {"metadata": {"name": self.words["$ns"]}})

    def send(self, request: str, *, body: Any = None, kind: str = "", headers: dict[str, str] | None = None) -> Answer:
        """Send `METHOD path`, the path within the row's namespace unless it begins with a slash."""
        method, _, path = self.filled(request).partition(" ")
        media = {"Content-Type": PATCH_TYPES[kind]} if kind else {}
        return self.kube.send(method, self.absolute(path), self.filled(body), **(media | (headers or {})))

    def prepare(self, row: dict[str, Any]) -> None:
        """Make what the row takes for granted."""
        if "have" in row:
            body = {"metadata": {"name": "web"}, "spec": row["have"]}
            self._learn(self._must("POST", self.absolute("services"), body))
        for step in row.get("first", ()):
            method, _, path = self.filled(step["do"]).partition(" ")
            self._learn(self._must(method, self.absolute(path), self.filled(step.get("body")), step.get("type", "")))

    def absolute(self, path: str) -> str:
        """The whole path on the server."""
        if path.startswith("/"):
            return path
        group = GROUPS.get(path.partition("/")[0].partition("?")[0], "/api/v1")
        return f"{group}/namespaces/{self.words['$ns']}/{path}"

    def filled(self, value: Any) -> Any:
        """`value` with its placeholders replaced."""
        text = json.dumps(value)
        for word, meaning in self.words.items():
            text = text.replace(word, meaning)
        return json.loads(text)

    def _must(self, method: str, path: str, body: Any, kind: str = "") -> Answer:
        headers = {"Content-Type": PATCH_TYPES[kind]} if kind else {}
        answer = self.kube.send(method, path, body, **headers)
        assert answer.code in (200, 201), (method, path, answer)
        return answer

    def _learn(self, answer: Answer) -> None:
        metadata = answer.body.get("metadata", {})
        self.words |= {"$uid": metadata.get("uid", ""), "$rv": metadata.get("resourceVersion", "")}


def mismatch(expected: Any, found: Any, path: str = "") -> str:
    """Where `found` lacks something of `expected`; empty when it lacks nothing."""
    if expected == "$set":
        return "" if found not in (None, "", [], {}) else f"{path} is not set"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return f"{path} is {found!r}, not a mapping"
        told = (_member_mismatch(value, found, key, f"{path}.{key}") for key, value in expected.items())
        return next((text for text in told if text), "")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(expected, found, strict=True)
        told = (mismatch(want, have, f"{path}[{index}]") for index, (want, have) in enumerate(pairs))
        return next((text for text in told if text), "")
    return "" if expected == found else f"{path} is {found!r}, expected {expected!r}"


def _member_mismatch(value: Any, found: dict[str, Any], key: str, path: str) -> str:
    if value == "$absent":
        return f"{path} is {found[key]!r}, expected nothing" if found.get(key) is not None else ""
    return mismatch(value, found.get(key), path)


def causes_of(answer: Answer) -> list[str]:
    """The causes of a Status as `REASON FIELD`; one that is told twice, as updates of metadata are, counts once."""
    details = answer.body.get("details") or {}
    return sorted(
        {f"{cause.get('reason', '')} {cause.get('field', '')}".strip() for cause in details.get("causes", ())}
    )


@pytest.mark.parametrize("row", ROWS)
def test_the_server_answers_as_kubernetes_does(kube: Kube, row: dict[str, Any]) -> None:
    """Each request of the table gets its code, reason, fields and effect."""
    assert row.keys() <= KNOWN_KEYS, row.keys() - KNOWN_KEYS
    stage = Stage(kube)
    stage.prepare(row)
    answer = stage.send(row["do"], body=row.get("body"), kind=row.get("type", ""), headers=row.get("headers"))
    assert answer.code == row["code"], answer
    if "reason" in row:
        assert answer.body["reason"] == row["reason"], answer
        assert answer.body["code"] == row["code"], answer
    if "causes" in row:
        assert causes_of(answer) == sorted(stage.filled(row["causes"])), answer
    if "says" in row:
        assert stage.filled(row["says"]) in (answer.body if isinstance(answer.body, str) else answer.body["message"])
    if "shows" in row:
        assert mismatch(stage.filled(row["shows"]), answer.body) == ""
    _check_now(stage, row)


def _check_now(stage: Stage, row: dict[str, Any]) -> None:
    """The state of the world afterwards: of the Service, or of what the row names."""
    if "now" not in row:
        return
    expected = row["now"]
    where = "services/web"
    if isinstance(expected, dict) and "at" in expected:
        where, expected = expected["at"], expected["is"]
    answer = stage.send(f"GET {where}")
    if isinstance(expected, int):
        assert answer.code == expected, answer
    else:
        assert mismatch(stage.filled(expected), answer.body) == ""


def test_the_table_is_worth_its_name() -> None:
    """At least 150 requests are compared, and no two rows share a name."""
    names = [param.id for param in ROWS]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
