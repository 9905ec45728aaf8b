"""Kinds of annotation values that only AWS has; each follows the protocol `lbctl.grammar.Kind`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lbctl.grammar import Boolean

ARN = re.compile(r"arn:aws[a-z-]*:(acm:[a-z0-9-]+:\d*:certificate/\S+|iam::\d*:server-certificate/\S+)")


@dataclass(frozen=True, slots=True)
class Certificate:
    """ARN of a certificate in ACM or IAM, in any partition."""

    @property
    def grammar(self) -> str:
        """For people."""
        return "the ARN of an ACM certificate or an IAM server certificate"

    def parse(self, text: str) -> str:
        """The ARN, trimmed."""
        trimmed = text.strip()
        if not ARN.fullmatch(trimmed):
            raise ValueError(f"is not {self.grammar}")
        return trimmed

    def cel(self, value: str) -> str:
        """CEL."""
        return f"{value}.trim().matches('^arn:aws[a-z-]*:(acm|iam):')"


@dataclass(frozen=True, slots=True)
class Internal:
    """A boolean, or the historical `0.0.0.0/0`.

    CCM takes every other text than `false` for true, `no` included (aws.go, internal ELB annotation): refused here.
    """

    @property
    def grammar(self) -> str:
        """For people."""
        return "true or false (or the historical 0.0.0.0/0, which means true)"

    def parse(self, text: str) -> bool:
        """True for an internal balancer."""
        return text.strip() == "0.0.0.0/0" or Boolean().parse(text)

    def cel(self, value: str) -> str:
        """CEL."""
        return f"{value}.trim() == '0.0.0.0/0' || {Boolean().cel(value)}"


@dataclass(frozen=True, slots=True)
class WeightedTarget:
    """One target of a forward action: a port of a Service, by number or name, or a target group of somebody else.

    With `decrypt` the targets of a TLS listener get what it has decrypted.
    """

    weight: int
    service: str = ""
    port: str = ""
    arn: str = ""
    decrypt: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """A forward action: weighted targets, the weight of the Service itself, and whether clients keep their group."""

    targets: tuple[WeightedTarget, ...] = ()
    base_weight: int = 1
    sticky: bool = False


MAX_WEIGHT = 999
MAX_TARGETS = 4
"""The API takes five, and the Service's own group is always one of them."""


@dataclass(frozen=True, slots=True)
class TargetWeights:
    """Decodes the JSON of a forward action (LBC, pkg/service/config_types.go and docs/guide/service/annotations.md)."""

    def decode(self, data: Any) -> Forward:  # noqa: ANN401 - parsed JSON
        """The action; ValueError with a sentence when it is none."""
        if not isinstance(data, dict) or data.get("type", "forward") != "forward":
            raise ValueError("is not a forward action")
        config = data.get("forwardConfig") or {}
        groups = (config.get("targetGroups") if isinstance(config, dict) else None) or []
        if not isinstance(config, dict) or not isinstance(groups, list):
            raise ValueError("has a forwardConfig that is not an object with targetGroups")  # noqa: TRY004 - a fault of the text
        if len(groups) > MAX_TARGETS:
            raise ValueError(f"has {len(groups)} target groups; at most {MAX_TARGETS} fit beside the Service's own")
        base = config.get("baseServiceWeight", data.get("baseServiceWeight"))
        return Forward(
            targets=tuple(self._target(group, alone=len(groups) == 1) for group in groups),
            base_weight=1 if base is None else self._weight(base),
            sticky=self._sticky(config.get("targetGroupStickinessConfig")),
        )

    def _sticky(self, config: Any) -> bool:  # noqa: ANN401 - parsed JSON
        enabled = config.get("enabled", False) if isinstance(config, dict) else config
        if enabled is not None and not isinstance(enabled, bool):
            raise ValueError("has a targetGroupStickinessConfig other than {enabled: true} or {enabled: false}")
        return bool(enabled)

    def _target(self, group: Any, *, alone: bool) -> WeightedTarget:  # noqa: ANN401 - parsed JSON
        if not isinstance(group, dict):
            raise ValueError("has a target group that is not an object")  # noqa: TRY004 - a fault of the text
        arn, service, port = group.get("targetGroupARN"), group.get("serviceName"), group.get("servicePort")
        if bool(arn) == bool(service):
            raise ValueError("has a target group that is not named by either targetGroupARN or serviceName")
        if group.get("weight") is None and not alone:
            raise ValueError("has several target groups, and not every one of them has a weight")
        weight = self._weight(1 if group.get("weight") is None else group["weight"])
        if arn:
            return WeightedTarget(weight, arn=str(arn))
        if isinstance(port, bool) or not isinstance(port, int | str) or not port:
            raise ValueError(f"has a target group of Service {service} without servicePort")
        decrypt = group.get("decrypt")
        if decrypt is not None and not isinstance(decrypt, bool):
            raise ValueError(f"has decrypt {decrypt!r}, which is neither true nor false")
        return WeightedTarget(weight, service=str(service), port=str(port), decrypt=bool(decrypt))

    def _weight(self, weight: Any) -> int:  # noqa: ANN401 - parsed JSON
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"has the weight {weight!r}, which is not from 0 to {MAX_WEIGHT}")
        return weight
