"""Services in files: YAML or JSON, several documents, Lists, folders, or standard input.

`lbctl plan -f` and `lbctl check` read them. Every fault of every file is told at once, with file and document.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lbctl.errors import Blame, Exit, LbctlError, Retry
from lbctl.model.objects import Service
from lbctl.model.problem import Problem

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"


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
    """One object of a file; `where` names file and document for messages."""

    where: str
    body: dict[str, Any]

    def service(self) -> Service | Problem:
        """The Service that the object is, or what keeps it from being one."""
        return to_service(self.body, where=self.where)


def read_services(files: Iterable[str]) -> list[Document]:
    """The Services in the files, in their order; objects of other kinds are left out.

    Raises `InvalidFiles` with everything that is wrong with any of them.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    for where, text in _texts(files, problems):
        documents.extend(_documents(where, text, problems))
    if problems:
        raise InvalidFiles(problems)
    return [document for document in documents if document.body.get("kind") == "Service"]


def to_service(body: dict[str, Any], *, where: str) -> Service | Problem:
    """The view of a Service's JSON, or the field that does not fit."""
    try:
        return msgspec.convert(body, Service, strict=True)
    except msgspec.ValidationError as error:
        return Problem(where, str(error).replace("$.", ""), "compare with: kubectl explain service")


def _texts(files: Iterable[str], problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for name in files:
        for path in _paths(name):
            try:
                yield path, sys.stdin.read() if path == STANDARD_INPUT else Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem(path, f"cannot be read: {getattr(error, 'strerror', None) or error}"))


def _paths(name: str) -> list[str]:
    path = Path(name)
    if name == STANDARD_INPUT or not path.is_dir():
        return [name]
    return sorted(str(entry) for entry in path.iterdir() if entry.suffix in SUFFIXES)


def _documents(where: str, text: str, problems: list[Problem]) -> Iterator[Document]:
    try:
        loaded = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        problems.append(Problem(where, f"is not YAML: {' '.join(str(error).split())}"))
        return
    for number, body in enumerate(loaded, start=1):
        place = f"{where}, document {number}" if len(loaded) > 1 else where
        for one in _items(body):
            if isinstance(one, dict) and one.get("kind") and isinstance(one.get("metadata"), dict):
                yield Document(place, one)
            else:
                problems.append(Problem(place, "is no Kubernetes object", "it needs kind and metadata"))


def _items(body: object) -> list[object]:
    if body is None:
        return []
    if isinstance(body, dict) and str(body.get("kind", "")).endswith("List"):
        return list(body.get("items") or [])
    return [body]
