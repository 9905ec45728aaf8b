"""Access to the Kubernetes API: reads, watches, the few writes, events and the lease."""
