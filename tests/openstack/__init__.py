"""The OpenStack driver on a real Keystone, Neutron and Octavia."""
