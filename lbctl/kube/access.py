"""Where the cluster is and who we are: kubeconfig or the pod's service account, loaded by the official client.

`Rest` calls `connect` at the start and again when the server refuses the credentials. Everything that can be wrong
with a kubeconfig becomes `InvalidSettings` here. Importing this module loads the client library, which costs a quarter
of a second: commands import it when they run, not when they are listed.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from lbctl import __version__
from lbctl.errors import InvalidSettings

DEFAULT_KUBECONFIG = "~/.kube/config"
IN_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"
_LONGEST_TEXT = 300


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A kubeconfig file and a context in it; both empty mean `$KUBECONFIG`, the pod's account or the usual file."""

    kubeconfig: str = ""
    context: str = ""
    user_agent: str = f"lbctl/{__version__}"

    @property
    def files(self) -> str:
        """The kubeconfig to read, empty inside of a cluster; several files are joined by the path separator."""
        named = self.kubeconfig or os.environ.get("KUBECONFIG", "")
        if named or self.context or IN_CLUSTER_VARIABLE not in os.environ:
            return named or DEFAULT_KUBECONFIG
        return ""


def connect(access: Access) -> ApiClient:
    """A client with address, TLS, proxy and credentials set; makes no call.

    Raises InvalidSettings, with the file's name, when there is no usable configuration.
    """
    configuration = Configuration()
    if access.files:
        _load_files(access, configuration)
    else:
        _load_service_account(configuration)
    client = ApiClient(configuration)
    client.user_agent = access.user_agent
    return client


def whereabouts(access: Access, client: ApiClient) -> str:
    """The server's address, without credentials, and the context or account that led to it; for messages."""
    url = urlsplit(client.configuration.host)
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    if not access.files:
        return f"{address}, the pod's service account"
    context = access.context or _current_context(access.files)
    return f"{address}, context {context}" if context else address


def _current_context(files: str) -> str:
    try:
        _, current = list_kube_config_contexts(config_file=files)
        return str(current["name"])
    except (ConfigException, OSError, yaml.YAMLError, KeyError, TypeError):
        # A file that changed or went since it was loaded; the message that asks is about something else.
        return ""


def _load_files(access: Access, configuration: Configuration) -> None:
    _require_file(access.files)
    try:
        load_kube_config(config_file=access.files, context=access.context or None, client_configuration=configuration)
    except Exception as error:
        # The loader lets YAML, base64, type and key errors of a damaged file through as they are.
        where = f"{access.files}, context {access.context}" if access.context else access.files
        raise InvalidSettings(
            f"cannot use the kubeconfig {where}: {_one_line(error)}",
            hint="Check it with: kubectl config view, or name another one with --kubeconfig and --context",
        ) from error


def _require_file(files: str) -> None:
    if not any(Path(name).expanduser().is_file() for name in files.split(os.pathsep) if name):
        raise InvalidSettings(
            f"cannot read the kubeconfig {files}: there is no such file",
            hint="Name one with --kubeconfig or KUBECONFIG, or run inside of the cluster",
        )


def _load_service_account(configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise InvalidSettings(
            f"cannot use the pod's service account: {_one_line(error)}",
            hint="Mount a service account token (automountServiceAccountToken) or name a kubeconfig with --kubeconfig",
        ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:_LONGEST_TEXT].rstrip(".")
