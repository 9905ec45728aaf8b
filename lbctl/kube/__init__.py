"""Access to the Kubernetes API: requests, watches, writes, events and the lease.

The engine calls this package. It knows HTTP, resource versions and the objects of `lbctl.model.objects`; it must not
know drivers, plans or queues. Import its modules directly: the package itself loads nothing, so that commands which
do not talk to a cluster start without the client library.
"""
