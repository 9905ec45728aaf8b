"""The real Keystone, Neutron and Octavia, started for tests from their own packages, and a proxy that makes faults."""
