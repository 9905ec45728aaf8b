"""The settings of one account, and the configuration that they and upstream's cloud.conf add up to.

Pure but for `load`, which reads the file that the settings name. An unknown key of cloud.conf stops nothing here: it is
a finding of `check.py` and a warning in the log, because a newer file of upstream must not stop the controller.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import msgspec

from lbctl.errors import InvalidSettings
from lbctl_openstack.cloudconf import Access, CloudConf, parse_cloud_conf

log = logging.getLogger(__name__)


class OpenStackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may choose.

    `cloud_config` is the path of upstream's cloud.conf. `cloud` names an entry of clouds.yaml, `clouds_file` that file;
    `region` picks the region; all three win over cloud.conf. `timeout_seconds` is that of each call, 0 meaning
    cloud.conf's `request-timeout`. `monitor_for_local` makes a health monitor for every Service with traffic policy
    Local, which loses traffic without one.
    """

    cloud_config: str = ""
    cloud: str = ""
    clouds_file: str = ""
    region: str = ""
    timeout_seconds: float = 0
    monitor_for_local: bool = True


def load(settings: OpenStackSettings) -> CloudConf:
    """The configuration; `InvalidSettings` names the file and everything in it that cannot be used."""
    conf = _read(settings.cloud_config)
    if conf.faults:
        faults = "; ".join(conf.faults)
        raise InvalidSettings(f"openstack: {settings.cloud_config}: {faults}", hint="correct the file")
    for sentence in conf.unknown:
        log.warning("%s: %s", settings.cloud_config, sentence)
    return replace(conf, access=_with_settings(conf.access, settings))


def config_faults(settings: OpenStackSettings) -> tuple[str, ...]:
    """Everything that is wrong with the cloud.conf of the settings, unknown keys among it, as sentences."""
    try:
        conf = _read(settings.cloud_config)
    except InvalidSettings as error:
        return (str(error),)
    return tuple(f"{settings.cloud_config}: {sentence}" for sentence in (*conf.faults, *conf.unknown))


def _read(path: str) -> CloudConf:
    if not path:
        return CloudConf()
    try:
        return parse_cloud_conf(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        hint = "give an existing file in the setting `cloud_config`"
        raise InvalidSettings(f"openstack: cannot read {path}: {error.strerror}", hint=hint) from None


def _with_settings(access: Access, settings: OpenStackSettings) -> Access:
    chosen = {name: getattr(settings, name) for name in ("cloud", "clouds_file", "region") if getattr(settings, name)}
    uses_clouds = access.use_clouds or bool(settings.cloud) or not access.auth_url
    return msgspec.structs.replace(access, use_clouds=uses_clouds, **chosen)
