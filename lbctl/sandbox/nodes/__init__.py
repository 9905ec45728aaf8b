"""Simulated nodes and pods: real sockets on loopback addresses, driven by the objects of a real API.

`Fleet` is the cluster side: nodes that serve node ports as kube-proxy does, and echo servers that say which pod and
node answered. `Traffic` is the client side: it sends requests and counts who answered. Nothing here knows a driver or
the engine; everything is learnt and told over the Kubernetes API.
"""
