"""Services in files: YAML or JSON, several documents, Lists, folders, or standard input.

`lbctl plan -f`, `lbctl check` and `lbctl permissions -f` read them. Folders are read with all that is below them,
hidden folders left out. Objects of other kinds do not count, whatever they lack: a folder holds what other tools read,
too. A file that is named by itself has to hold something, so that a typing error or an empty pipe is no success.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lbctl.errors import Blame, Exit, LbctlError, Retry
from lbctl.misread import form_of, misread
from lbctl.model.objects import Service
from lbctl.model.problem import Problem

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"
CORE_VERSIONS = frozenset({None, "", "v1"})
TEMPLATE = "{{"


class InvalidFiles(LbctlError):
    """Files cannot be read, or hold something that is no Kubernetes object."""

    reason = "InvalidFiles"
    retry = Retry.NEVER
    blame = Blame.AUTHOR
    exit = Exit.INVALID_INPUT

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """One Service of a file; `where` names file and document for messages. Metadata and spec are mappings."""

    where: str
    body: dict[str, Any]

    def service(self) -> Service | Problem:
        """The Service that the object is, or what keeps it from being one."""
        return to_service(self.body, where=self.where)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in files: the Services in their order, and what is wrong with the files."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def read_files(files: Iterable[str]) -> Reading:
    """The Services in the files, and every problem of every file; objects of other kinds are left out."""
    found = list(_findings(files))
    return Reading(
        tuple(one for one in found if isinstance(one, Document)),
        tuple(one for one in found if isinstance(one, Problem)),
    )


def read_services(files: Iterable[str]) -> tuple[Document, ...]:
    """The Services in the files; raises `InvalidFiles` with everything that is wrong with any of them."""
    reading = read_files(files)
    if reading.problems:
        raise InvalidFiles(reading.problems)
    return reading.documents


def to_service(body: dict[str, Any], *, where: str) -> Service | Problem:
    """The view of a Service's JSON, or the field that does not fit."""
    try:
        return msgspec.convert(body, Service, strict=True)
    except msgspec.ValidationError as error:
        return Problem(where, str(error).replace("$.", ""), "compare with: kubectl explain service")


def _findings(files: Iterable[str]) -> Iterator[Document | Problem]:
    for name in files:
        path = Path(name)
        if name != STANDARD_INPUT and path.is_dir():
            yield from _of_folder(path)
        else:
            yield from _of_file(name, named=True)


def _of_folder(folder: Path) -> Iterator[Document | Problem]:
    closed: list[Problem] = []
    paths: list[Path] = []
    for parent, folders, names in os.walk(
        folder, onerror=lambda error: closed.append(_unreadable(error.filename, error))
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths.extend(path for name in names if (path := Path(parent, name)).suffix in SUFFIXES)
    yield from closed
    if not (paths or closed):
        hint = f"name a folder with files that end in {', '.join(sorted(SUFFIXES))}, or the file itself"
        yield Problem(str(folder), "holds no file to read", hint)
    for path in sorted(paths):
        yield from _of_file(str(path), named=False)


def _of_file(name: str, *, named: bool) -> Iterator[Document | Problem]:
    try:
        text = sys.stdin.read() if name == STANDARD_INPUT else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield _unreadable(name, error)
        return
    try:
        loaded = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        yield Problem(name, f"is not YAML: {misread(error)}", _remedy(text))
        return
    if named and all(body is None for body in loaded):
        yield Problem(name, "is empty", "give a file with a Service, or see what should have written it")
    for number, body in enumerate(loaded, start=1):
        place = f"{name}, document {number}" if len(loaded) > 1 else name
        for one in _items(body):
            yield from _object(place, one, named=named)


def _items(body: object) -> list[object]:
    if body is None:
        return []
    if isinstance(body, dict) and str(body.get("kind", "")).endswith("List"):
        items = body.get("items")
        return items if isinstance(items, list) else []
    return [body]


def _object(where: str, body: object, *, named: bool) -> Iterator[Document | Problem]:
    """A Service or what is wrong with it; in a file that was named, what is no object at all is wrong, too."""
    if not isinstance(body, dict) or not body.get("kind"):
        # A folder also holds values and patches; only who names a file means it to be read as objects.
        if named or (isinstance(body, dict) and body.get("apiVersion") == "v1"):
            what = "has no kind" if isinstance(body, dict) else f"holds a {form_of(body)}, not an object"
            yield Problem(where, what, "a Service begins with apiVersion: v1 and kind: Service")
    elif body["kind"] == "Service" and body.get("apiVersion") in CORE_VERSIONS:
        yield _faults(where, body) or Document(where, body)


def _faults(where: str, body: dict[str, Any]) -> Problem | None:
    hint = "compare with: kubectl explain service"
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        return Problem(where, "the Service has no metadata.name", hint)
    if not isinstance(body.get("spec") or {}, dict):
        return Problem(where, f"spec is a {form_of(body['spec'])}, not a mapping", hint)
    wrong = [key for key in ("name", "namespace") if not isinstance(metadata.get(key) or "", str)]
    if wrong:
        return Problem(where, f"metadata.{wrong[0]} is a {form_of(metadata[wrong[0]])}, not text", "put it in quotes")
    return None


def _unreadable(name: str, error: OSError | UnicodeDecodeError) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return Problem(name, "cannot be read: it is not text in UTF-8", "save it as UTF-8, or name another file")
    hint = "name a file or folder that exists, or - for standard input"
    if isinstance(error, PermissionError):
        hint = "let the user that runs lbctl read it"
    return Problem(name, f"cannot be read: {error.strerror or type(error).__name__}", hint)


def _remedy(text: str) -> str:
    if TEMPLATE in text:
        return "a template has to be rendered first: helm template CHART | lbctl check -f -"
    return "correct that line; indentation, a missing quote or bracket are the usual causes"
