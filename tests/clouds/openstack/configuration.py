"""The configuration files of the three services, as text. Everything listens on loopback only.

Why these values: noop compute needs no hypervisor; the network driver is the real one, so VIP ports and floating IPs
are real; a certificate authority with a passphrase is required even so; `port_detach_timeout` is zero because nothing
ever detaches a noop port; SQLite takes one writer at a time, hence one serial worker there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: ports of the services themselves, `public` URLs that the catalog names, the databases.

    `mysql` is `user:password@host:port` of a MariaDB with the databases keystone, neutron and octavia, or empty for
    SQLite files in `folder`. `prefix` is the services' virtual environment.
    """

    folder: Path
    prefix: Path
    keystone: int
    neutron: int
    octavia: int
    mysql: str = ""

    def url(self, service: str) -> str:
        """The service's own address, past any proxy."""
        return f"http://127.0.0.1:{getattr(self, service)}"

    def database(self, service: str) -> str:
        """SQLAlchemy URL of the service's database."""
        return f"mysql+pymysql://{self.mysql}/{service}" if self.mysql else f"sqlite:///{self.folder}/{service}.db"


def _account(layout: Layout) -> str:
    return f"""auth_url = {layout.url("keystone")}
auth_type = password
username = svc
password = svc
project_name = service
user_domain_name = Default
project_domain_name = Default
"""


def keystone_conf(layout: Layout) -> str:
    """keystone.conf."""
    return f"""[database]
connection = {layout.database("keystone")}
[fernet_tokens]
key_repository = {layout.folder}/fernet
[fernet_receipts]
key_repository = {layout.folder}/fernet
[credential]
key_repository = {layout.folder}/cred
[identity]
password_hash_rounds = 4
[cache]
enabled = True
backend = dogpile.cache.memory
"""


def neutron_conf(layout: Layout) -> str:
    """neutron.conf."""
    return f"""[DEFAULT]
core_plugin = ml2
service_plugins = router,tag,revisions,timestamp
auth_strategy = keystone
transport_url = fake://
api_paste_config = {layout.prefix}/etc/neutron/api-paste.ini
state_path = {layout.folder}
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
dhcp_agent_notification = False
[database]
connection = {layout.database("neutron")}
[oslo_concurrency]
lock_path = {layout.folder}/lock
[ml2]
type_drivers = local,flat
tenant_network_types = local
mechanism_drivers =
extension_drivers = port_security
[ml2_type_flat]
flat_networks = public
[quotas]
quota_floatingip = 200
quota_security_group = 200
quota_security_group_rule = 2000
[keystone_authtoken]
service_type = network
www_authenticate_uri = {layout.url("keystone")}
{_account(layout)}"""


def octavia_conf(layout: Layout, *, management_network: str) -> str:
    """octavia.conf; `management_network` must be the id of a real network."""
    return f"""[DEFAULT]
transport_url = fake://
executor_thread_pool_size = {64 if layout.mysql else 1}
[api_settings]
bind_host = 127.0.0.1
bind_port = {layout.octavia}
auth_strategy = keystone
enabled_provider_drivers = amphora:Amphora,octavia:alias,noop_driver:nothing
[database]
connection = {layout.database("octavia")}
[oslo_messaging]
topic = octavia_prov
[controller_worker]
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = allowed_address_pairs_driver
volume_driver = volume_noop_driver
image_driver = image_noop_driver
distributor_driver = distributor_noop_driver
amp_flavor_id = 1
amp_image_tag = none
amp_boot_network_list = {management_network}
loadbalancer_topology = SINGLE
client_ca = {layout.folder}/ca.pem
[networking]
port_detach_timeout = 0
[task_flow]
engine = {"parallel" if layout.mysql else "serial"}
max_workers = {5 if layout.mysql else 1}
[certificates]
cert_manager = noop_cert_manager
cert_generator = local_cert_generator
ca_certificate = {layout.folder}/ca.pem
ca_private_key = {layout.folder}/ca.key
ca_private_key_passphrase = pw
server_certs_key_passphrase = insecure-key-do-not-use-this-key
[health_manager]
heartbeat_key = k
[quotas]
default_load_balancer_quota = 250
[service_auth]
{_account(layout)}[keystone_authtoken]
service_type = load-balancer
www_authenticate_uri = {layout.url("keystone")}
{_account(layout)}[neutron]
region_name = RegionOne
endpoint_override = {layout.url("neutron")}
{_account(layout)}"""
