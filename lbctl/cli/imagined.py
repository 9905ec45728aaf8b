"""The cluster as it would be after files were applied, for `lbctl plan -f`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from lbctl.cli.desk import Desk
from lbctl.engine.assembly import Assembly
from lbctl.engine.claim import Standing
from lbctl.engine.whatif import imagine
from lbctl.errors import KubeError, KubeGone
from lbctl.kube.manifests import InvalidFiles, read_services, to_service
from lbctl.kube.rehearsal import Rehearsal
from lbctl.model.applied import as_created, merged
from lbctl.model.objects import Service
from lbctl.model.problem import Problem

REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
ASSUMED = "Node ports and names of new Services are assumed; --server-dry-run asks the API server for them."


def imagine_files(
    at: Desk, files: Sequence[str], *, server_dry_run: bool
) -> tuple[Assembly, tuple[str, ...], tuple[str, ...]]:
    """The imagined assembly, the files' Services that are served here, and a sentence about each of the others.

    Costs one GET a Service of the files, and with `server_dry_run` one write that stores nothing.
    """
    rehearsal = Rehearsal(at.rest)
    wanted = _services(rehearsal, files, server_dry_run=server_dry_run)
    reads = at.assembly.reads
    services = {service.key: service for service in (*reads.list_services(), *wanted)}
    slices = reads.list_slices() if at.assembly.watches_slices else ()
    assembly = imagine(at.assembly, services=services.values(), nodes=reads.list_nodes(), slices=slices)
    claims = {service.key: assembly.controller.intake.claim_of(service) for service in wanted}
    served = (Standing.WANTED, Standing.LEAVING)
    names = tuple(key for key, claim in claims.items() if claim.standing in served)
    notes = tuple(f"{key} is left alone: {claim.why}." for key, claim in claims.items() if key not in names)
    if not server_dry_run:
        notes = (*notes, ASSUMED)
    return assembly, names, notes


def _services(rehearsal: Rehearsal, files: Sequence[str], *, server_dry_run: bool) -> list[Service]:
    found: list[Service] = []
    problems: list[Problem] = []
    for document in read_services(files):
        meta = document.body["metadata"]
        live = rehearsal.find(meta.get("namespace", "default"), meta.get("name", ""))
        body = merged(live, document.body)
        if server_dry_run:
            service = _rehearsed(rehearsal, body, where=document.where, exists=live is not None)
        else:
            service = to_service(_canonical(body), where=document.where)
        if isinstance(service, Problem):
            problems.append(service)
        else:
            found.append(service if server_dry_run else as_created(service))
    if problems:
        raise InvalidFiles(problems)
    return found


def _rehearsed(rehearsal: Rehearsal, body: dict[str, Any], *, where: str, exists: bool) -> Service | Problem:
    """The Service as the server would store it, or why it would not: what it says of the file is for its author."""
    try:
        return rehearsal.update(body) if exists else rehearsal.create(body)
    except KubeGone as error:
        if exists:
            raise
        namespace = body["metadata"]["namespace"]
        return Problem(where, error.message, f"create the namespace first: kubectl create namespace {namespace}")
    except KubeError as error:
        if error.status not in REFUSALS:
            raise
        return Problem(where, error.message, "correct the file; compare with: kubectl explain service")


def _canonical(body: dict[str, Any]) -> dict[str, Any]:
    """Without members that are null, which mean "not given"."""
    spec = {key: value for key, value in body["spec"].items() if value is not None}
    return {**body, "spec": spec}
