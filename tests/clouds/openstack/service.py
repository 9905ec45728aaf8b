"""One service process: `python service.py keystone|neutron|octavia FOLDER PORT serial|parallel`.

Runs in the services' own environment and so imports nothing of ours. Each makes its own tables: a process of its own
for that would spend its time importing. Octavia's API and worker share a process over an in-memory transport. The one
patch of its behaviour is what Nova would do when it plugs a port: see `attach`.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import secrets
import socketserver
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref import simple_server

PRAGMAS = ("busy_timeout=30000", "synchronous=OFF")


def tune_sqlite() -> None:
    """Make SQLite wait for locks instead of failing, and keep its connections: opening them is a third of all work."""
    from oslo_db.sqlalchemy import engines
    from sqlalchemy import event, pool
    from sqlalchemy.engine import Engine

    engines.pool = SimpleNamespace(**{**vars(pool), "NullPool": pool.QueuePool})
    engines._thread_yield = lambda _connection, _record: None  # for greenthreads, which there are none of
    of_file = ["journal_mode=WAL"]

    @event.listens_for(Engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            for pragma in (*PRAGMAS, *of_file):
                connection.execute("PRAGMA " + pragma)
            of_file.clear()


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
    """The identity service, with the user and project `admin`."""
    from keystone.cmd import bootstrap
    from keystone.common.sql import upgrades
    from keystone.server.flask import core

    os.environ.update(OS_KEYSTONE_CONFIG_DIR=folder, OS_KEYSTONE_CONFIG_FILES=f"{folder}/keystone.conf")
    application = core.initialize_application(
        "public",
        post_log_configured_function=upgrades.offline_sync_database_to_version,
        config_files=[f"{folder}/keystone.conf"],
    )
    bootstrap.backends = SimpleNamespace(load_backends=lambda: None)  # they are loaded
    first = bootstrap.Bootstrapper()
    first.admin_username = first.admin_password = first.project_name = first.admin_role_name = "admin"
    first.service_name, first.region_id = "keystone", "RegionOne"
    first.public_url = first.internal_url = Path(folder, "identity-url").read_text()
    first.bootstrap()
    serve(application, port)


def neutron(folder: str, port: int, *, serial: bool) -> None:
    """The network service, without agents."""
    os.environ.update(OS_NEUTRON_CONFIG_DIR=folder, OS_NEUTRON_CONFIG_FILES="neutron.conf")
    make_neutron_tables(folder)
    from neutron.wsgi.api import application

    serve(one_at_a_time(application) if serial else application, port)


DEFAULT_RULES = (
    ("egress", "IPv4", None, True),
    ("egress", "IPv6", None, True),
    ("ingress", "IPv4", "PARENT", False),
    ("ingress", "IPv6", "PARENT", False),
)


def make_neutron_tables(folder: str) -> None:
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


def make_authority(folder: str) -> None:
    """The certificate authority that Octavia wants even where no amphora will ever show its certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a process of its own
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    locked = serialization.BestAvailableEncryption(b"pw")
    Path(folder, "ca.pem").write_bytes(certificate.public_bytes(pem))
    Path(folder, "ca.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, locked))


def wait_for(path: Path) -> None:
    """Return when the file is there."""
    tick = threading.Event()
    while not path.exists():
        tick.wait(0.1)


def with_back_door(app: Callable[..., Iterable[bytes]], engine: Any) -> Callable[..., Iterable[bytes]]:
    """The application, and below `/sql` its database: for states that no request can make, and for a cheap look."""
    import sqlalchemy as sa

    def opened(environ: Any, start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/sql":
            return app(environ, start)
        question = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        with engine.begin() as connection:
            result = connection.execute(sa.text(question["statement"]), question["values"])
            rows = [list(row) for row in result] if result.returns_rows else []
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(rows).encode()]

    return opened


def one_after_the_other(run: Callable[[], None], note: Path) -> None:
    """Run a service in a child, and in another one whenever it was killed; its id is in `note`.

    What is loaded is loaded once, so a service that was killed is back within a second.
    """
    while True:
        watched, held = os.pipe()
        child = os.fork()
        if not child:
            os.close(held)
            threading.Thread(target=end_with, args=(watched,), daemon=True).start()
            run()
        os.close(watched)
        draft = note.with_suffix(".new")
        draft.write_text(str(child))
        draft.rename(note)
        _, status = os.waitpid(child, 0)
        os.close(held)
        if not os.WIFSIGNALED(status):
            sys.exit("the service has ended by itself")


def end_with(watched: int) -> None:
    """End when the other end of the pipe is closed, which nobody writes to: the parent is gone."""
    os.read(watched, 1)
    os._exit(1)


def octavia(folder: str, port: int, *, serial: bool) -> None:
    """The load-balancing service: API and worker; its configuration may come while it loads."""
    import oslo_messaging
    from octavia.api import app as api
    from octavia.common import constants, rpc, utils
    from octavia.compute.drivers.noop_driver import driver as noop
    from octavia.controller.queue.v2 import endpoints
    from octavia.db import api as db
    from octavia.db import base_models

    make_authority(folder)
    wait_for(Path(folder, "octavia.conf"))
    noop.NoopComputeDriver.attach_network_or_port = attach
    # Every step of a flow makes one of its own and asks Neutron for all extensions each time: half of all the work.
    utils.get_network_driver = functools.cache(utils.get_network_driver)

    def run() -> None:
        app = api.setup_app(argv=["octavia-api", "--config-file", f"{folder}/octavia.conf"])
        base_models.BASE.metadata.create_all(db.get_engine())
        session = db.get_session()
        with session.begin():
            seed_octavia(session)
        target = oslo_messaging.Target(topic=constants.TOPIC_AMPHORA_V2, server="w", fanout=False)
        rpc.get_server(target, [endpoints.Endpoints()]).start()
        serve(with_back_door(one_at_a_time(app) if serial else app, db.get_engine()), port)

    one_after_the_other(run, Path(folder, "octavia.pid"))


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


COMMANDS = {"keystone": keystone, "neutron": neutron, "octavia": octavia}

if __name__ == "__main__":
    _, command, where, number, mode = sys.argv
    sys.argv = sys.argv[:1]  # the services parse it
    if mode == "serial":
        tune_sqlite()
    COMMANDS[command](where, int(number), serial=mode == "serial")
