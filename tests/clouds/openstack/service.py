"""One service process: `python service.py keystone|neutron|neutron_db|octavia FOLDER PORT serial|parallel`.

Runs in the services' own environment and so imports nothing of ours. Octavia's API and worker share a process over an
in-memory transport. The one patch is what Nova would do when it plugs a port: see `attach`.
"""

from __future__ import annotations

import os
import secrets
import socketserver
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref import simple_server

PRAGMAS = ("journal_mode=WAL", "busy_timeout=30000", "synchronous=OFF")


def set_pragmas() -> None:
    """Make every SQLite connection wait for locks instead of failing."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            for pragma in PRAGMAS:
                connection.execute("PRAGMA " + pragma)


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., list[bytes]]:
    """The application behind a lock: SQLite cannot take two writers at once."""
    lock = threading.Lock()

    def guarded(environ: Any, start: Any) -> list[bytes]:
        with lock:
            return list(app(environ, start))

    return guarded


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Nothing: the services have their own logs."""

    def address_string(self) -> str:
        return "127.0.0.1"  # the inherited one asks the name service


def serve(app: Callable[..., Any], port: int) -> None:
    """Serve until killed."""
    simple_server.make_server("127.0.0.1", port, app, server_class=Server, handler_class=Handler).serve_forever()


def keystone(folder: str, port: int, *, serial: bool) -> None:
    """The identity service."""
    os.environ.update(OS_KEYSTONE_CONFIG_DIR=folder, OS_KEYSTONE_CONFIG_FILES=f"{folder}/keystone.conf")
    from keystone.wsgi.api import application

    serve(application, port)


def neutron(folder: str, port: int, *, serial: bool) -> None:
    """The network service, without agents."""
    os.environ.update(OS_NEUTRON_CONFIG_DIR=folder, OS_NEUTRON_CONFIG_FILES="neutron.conf")
    from neutron.wsgi.api import application

    serve(one_at_a_time(application) if serial else application, port)


DEFAULT_RULES = (
    ("egress", "IPv4", None, True),
    ("egress", "IPv6", None, True),
    ("ingress", "IPv4", "PARENT", False),
    ("ingress", "IPv6", "PARENT", False),
)


def neutron_db(folder: str, port: int, *, serial: bool) -> None:
    """Neutron's tables from its models, and the default rules that a migration would seed; migrations need MySQL."""
    import configparser

    import sqlalchemy as sa
    from neutron.db.migration.models import head

    parser = configparser.ConfigParser(interpolation=None)
    parser.read(f"{folder}/neutron.conf")
    metadata = head.get_metadata()
    engine = sa.create_engine(parser["database"]["connection"])
    metadata.create_all(engine)
    attributes = metadata.tables["standardattributes"]
    rules = metadata.tables["securitygroupdefaultrules"]
    with engine.begin() as connection:
        for direction, family, group, both in DEFAULT_RULES:
            values = {"description": "", "resource_type": "securitygroupdefaultrules", "revision_number": 0}
            row = connection.execute(attributes.insert().values(**values)).inserted_primary_key[0]
            connection.execute(
                rules.insert().values(
                    id=secrets.token_hex(16),
                    standard_attr_id=row,
                    direction=direction,
                    ethertype=family,
                    remote_group_id=group,
                    used_in_default_sg=True,
                    used_in_non_default_sg=both,
                )
            )


def attach(self: Any, compute_id: str, network_id: Any = None, ip_address: Any = None, port_id: Any = None) -> None:
    """Plug a port as Nova would: mark the port as the instance's, and answer that it is plugged."""
    from novaclient.exceptions import Conflict
    from octavia.common import clients

    clients.NeutronAuth.get_neutron_client().network.update_port(port_id, device_id=compute_id)
    raise Conflict(409)


def octavia(folder: str, port: int, *, serial: bool) -> None:
    """The load-balancing service: API and worker."""
    from octavia.api import app as api

    app = api.setup_app(argv=["octavia-api", "--config-file", f"{folder}/octavia.conf"])
    import oslo_messaging
    from octavia.common import constants, rpc
    from octavia.compute.drivers.noop_driver import driver as noop
    from octavia.controller.queue.v2 import endpoints
    from octavia.db import api as db
    from octavia.db import base_models
    from oslo_config import cfg

    if serial:
        cfg.CONF.set_override("pool_timeout", None, "database")  # SQLite's pool refuses it
    noop.NoopComputeDriver.attach_network_or_port = attach
    base_models.BASE.metadata.create_all(db.get_engine())
    session = db.get_session()
    with session.begin():
        seed_octavia(session)
    target = oslo_messaging.Target(topic=constants.TOPIC_AMPHORA_V2, server="w", fanout=False)
    rpc.get_server(target, [endpoints.Endpoints()]).start()
    serve(one_at_a_time(app) if serial else app, port)


def seed_octavia(session: Any) -> None:
    """The rows that Octavia's migrations would seed."""
    from octavia.common import constants as c
    from octavia.db import models as m

    if session.query(m.Protocol).count():
        return
    lookups = (
        (c.SUPPORTED_PROVISIONING_STATUSES, m.ProvisioningStatus),
        (c.SUPPORTED_HEALTH_MONITOR_TYPES, m.HealthMonitorType),
        (c.SUPPORTED_LB_ALGORITHMS, m.Algorithm),
        (c.SUPPORTED_PROTOCOLS, m.Protocol),
        (c.SUPPORTED_OPERATING_STATUSES, m.OperatingStatus),
        (c.SUPPORTED_SP_TYPES, m.SessionPersistenceType),
        (c.SUPPORTED_AMPHORA_ROLES, m.AmphoraRoles),
        (c.SUPPORTED_LB_TOPOLOGIES, m.LBTopology),
        (c.SUPPORTED_VRRP_AUTH, m.VRRPAuthMethod),
        (c.SUPPORTED_L7RULE_TYPES, m.L7RuleType),
        (c.SUPPORTED_L7RULE_COMPARE_TYPES, m.L7RuleCompareType),
        (c.SUPPORTED_L7POLICY_ACTIONS, m.L7PolicyAction),
        (c.SUPPORTED_CLIENT_AUTH_MODES, m.ClientAuthenticationMode),
    )
    for names, model in lookups:
        session.add_all(model(name=name) for name in names)
    nil = c.NIL_UUID
    profile = {"name": "-", "provider_name": c.DELETED}
    session.add(m.FlavorProfile(id=nil, flavor_data="{}", **profile))
    session.add(m.AvailabilityZoneProfile(id=nil, availability_zone_data="{}", **profile))
    session.flush()
    session.add(m.Flavor(id=nil, flavor_profile_id=nil, name="-", enabled=False, description=""))
    session.add(m.AvailabilityZone(availability_zone_profile_id=nil, name=nil, enabled=False, description=""))


COMMANDS = {"keystone": keystone, "neutron": neutron, "neutron_db": neutron_db, "octavia": octavia}

if __name__ == "__main__":
    _, command, where, number, mode = sys.argv
    sys.argv = sys.argv[:1]  # the services parse it
    if mode == "serial":
        set_pragmas()
    COMMANDS[command](where, int(number), serial=mode == "serial")
