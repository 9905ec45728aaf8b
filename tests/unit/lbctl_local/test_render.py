"""Envoy's configuration: valid for Envoy, and read back as what it was made from."""

from __future__ import annotations

import json
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbctl_local.client import find_envoy
from lbctl_local.observe import Reading, observe_balancers
from lbctl_local.render import (
    join_target,
    render_bootstrap,
    render_cluster,
    render_listener,
    split_target,
)
from lbctl_local.spec import ListenerSpec, PoolSpec, fields_of, listener_of, pool_of

MARKS = {"cluster": "c", "balancer": "a1", "namespace": "shop", "name": "web", "uid": "u"}

ports = st.integers(1, 65535)
seconds = st.integers(1, 300)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
targets = st.frozensets(st.builds(join_target, addresses, ports), max_size=5)
pools = st.builds(
    PoolSpec,
    protocol=st.just("TCP"),
    targets=targets,
    algorithm=st.sampled_from(["round-robin", "random", "least-request", "maglev"]),
    proxy_protocol=st.sampled_from(["", "v1", "v2"]),
    check=st.sampled_from(["none", "tcp", "http"]),
    check_port=st.one_of(st.just(0), ports),
    check_path=st.just("/healthz"),
    check_interval=seconds,
    check_timeout=seconds,
)
ranges = st.frozensets(st.sampled_from(["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]), max_size=3)
listeners = st.builds(
    ListenerSpec,
    address=addresses,
    port=ports,
    protocol=st.sampled_from(["TCP", "UDP"]),
    pool=st.just("a1/80/TCP"),
    source_ranges=ranges,
    by_client=st.booleans(),
    idle_seconds=seconds,
    max_connections=st.integers(0, 100),
    access_log=st.sampled_from(["", "/dev/null"]),
)


def read_back(*, clusters=(), listeners=()):
    """What a fresh process sees of these entries, through a file."""
    read = [{e["name"]: e for e in json.loads(msgspec.json.encode(list(es)))} for es in (clusters, listeners)]
    bound = frozenset(read[1])
    (observed,) = observe_balancers(Reading(*read, bound=bound), cluster="c", interface="").values()
    (seen,) = observed.resources.values()
    return seen


@given(spec=pools)
def test_a_pool_is_read_back_as_it_was_written(spec):
    """Every pool comes back from Envoy's file with equal fields and its owner."""
    seen = read_back(clusters=[render_cluster("a1/80/TCP", spec, marks=MARKS)])
    assert seen.resource.fields == fields_of(spec)
    assert pool_of(seen.resource.fields) == spec
    assert {owner.key for owner in seen.resource.owners} == {"shop/web"}


@given(spec=listeners)
def test_a_listener_is_read_back_as_it_was_written(spec):
    """Every listener comes back from Envoy's file with equal fields."""
    name = f"a1/{spec.address}/{spec.port}/{spec.protocol}"
    seen = read_back(listeners=[render_listener(name, spec, marks=MARKS)])
    assert seen.resource.fields == fields_of(spec)
    assert listener_of(seen.resource.fields) == spec


def test_an_edited_entry_differs():
    """An entry with any other content than we would write is not intact."""
    entry = render_cluster("a1/80/TCP", PoolSpec(protocol="TCP"), marks=MARKS)
    seen = read_back(clusters=[entry | {"connect_timeout": "9s"}])
    assert seen.resource.fields["intact"] is False


def test_an_entry_from_another_version_is_written_again():
    """Marks that this version cannot read make the entry differ rather than fail."""
    entry = render_cluster("a1/80/TCP", PoolSpec(protocol="TCP"), marks=MARKS)
    entry["metadata"]["filter_metadata"]["lbctl.io"]["spec"] = {"other": 1}
    assert read_back(clusters=[entry]).resource.fields["intact"] is False


@given(address=addresses, port=ports)
def test_targets_are_joined_and_split(address, port):
    """Address and port survive being one text."""
    assert split_target(join_target(address, port)) == (address, port)


def every_option():
    """Specs that between them use every field that rendering knows, for both families."""
    yield PoolSpec(protocol="TCP", targets=frozenset({"10.0.0.1:80", "[fd00::1]:80"}), proxy_protocol="v2", check="tcp")
    yield PoolSpec(protocol="TCP", algorithm="least-request", check="http", check_port=10, check_path="/healthz")
    yield PoolSpec(protocol="UDP", targets=frozenset({"10.0.0.1:53"}), algorithm="maglev")
    for protocol in ("TCP", "UDP"):
        for address in ("127.0.64.1", "::1"):
            yield ListenerSpec(
                address=address,
                port=8080,
                protocol=protocol,
                pool="p",
                source_ranges=frozenset({"10.0.0.0/8", "2001:db8::/32"}),
                by_client=True,
                max_connections=5,
                access_log="/dev/null",
            )
            yield ListenerSpec(address=address, port=8081, protocol=protocol, pool="p")


def test_envoy_accepts_every_option(tmp_path):
    """`envoy --mode validate` accepts a configuration that uses every option for both protocols and families."""
    clusters, found = [], []
    for number, spec in enumerate(every_option()):
        name = f"a{number}"
        if isinstance(spec, PoolSpec):
            clusters.append(render_cluster(name, spec, marks=MARKS))
        else:
            found.append(render_listener(name, spec, marks=MARKS))
    paths = {"admin_socket": str(tmp_path / "a"), "lds": str(tmp_path / "l"), "cds": str(tmp_path / "c")}
    config = render_bootstrap(**paths, node_id="test", max_connections=10)
    for entry in (*clusters, *found):
        del entry["@type"]
    clusters.append(render_cluster("p", PoolSpec(protocol="TCP"), marks=MARKS))
    del clusters[-1]["@type"]
    config["static_resources"] = {"clusters": clusters, "listeners": found}
    del config["dynamic_resources"]
    path = tmp_path / "envoy.json"
    path.write_bytes(msgspec.json.encode(config))
    command = [str(find_envoy()), "--mode", "validate", "-c", str(path)]
    reply = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert reply.returncode == 0, reply.stderr[-2000:]


@pytest.mark.parametrize("field", ["listener_filters", "filter_chains"])
def test_ranges_of_the_other_family_admit_nobody(field):
    """A listener whose ranges are all of the other family matches a single impossible client, not everybody."""
    protocol = "UDP" if field == "listener_filters" else "TCP"
    spec = ListenerSpec(
        address="127.0.0.1", port=1, protocol=protocol, pool="p", source_ranges=frozenset({"2001:db8::/32"})
    )
    assert "255.255.255.255" in json.dumps(render_listener("x", spec, marks=MARKS)[field])
