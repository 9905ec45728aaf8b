"""A Kubernetes API server for laptops and tests: real HTTP, real rules, no etcd, no container.

It answers as kube-apiserver does for Services, Nodes, Namespaces, Events and Leases, stores every other built-in kind
as it is, and misbehaves on demand. `ApiServer` runs it in this process, `python -m lbctl.sandbox.api` as its own.
"""

from lbctl.sandbox.api.server import ApiServer

__all__ = ["ApiServer"]
