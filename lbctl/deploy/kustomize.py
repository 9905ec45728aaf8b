"""The objects as a kustomize base with an overlay a cloud. Pure.

The base is what clouds have in common and a neutral form of the rest; an overlay adds its own objects and changes that
form by JSON patches, which are computed, so that base and overlay together give the objects of `lbctl manifests`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonpatch

from lbctl.deploy.objects import changed_objects, own_objects, shared_objects
from lbctl.deploy.text import HEAD, documents, to_yaml
from lbctl.deploy.variants import Place, Variant

BASE = Variant("base", Place())


def base_files() -> Mapping[str, str]:
    """The files of the base by their name."""
    resources = {"rights.yaml": shared_objects(), "workload.yaml": changed_objects(BASE)}
    return {
        "kustomization.yaml": HEAD + to_yaml(_kustomization(resources=sorted(resources))),
        **{name: HEAD + documents(objects) for name, objects in resources.items()},
    }


def overlay_files(variant: Variant) -> Mapping[str, str]:
    """The files of one cloud's overlay by their name."""
    patches = [
        {"target": {"kind": before["kind"], "name": before["metadata"]["name"]}, "patch": to_yaml(patch)}
        for before, after in zip(changed_objects(BASE), changed_objects(variant), strict=True)
        if (patch := jsonpatch.make_patch(before, after).patch)
    ]
    content = _kustomization(resources=["../../base", "own.yaml"], patches=patches)
    return {"kustomization.yaml": HEAD + to_yaml(content), "own.yaml": HEAD + documents(own_objects(variant))}


def _kustomization(**content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **content}
