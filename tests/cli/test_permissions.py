"""`lbctl permissions`: the smallest role, as the driver declares it."""

from __future__ import annotations

import json

from lbctl.registry import known_providers
from tests.cli.console import lbctl

WIDE = {
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
NARROW = {**WIDE, "spec": {**WIDE["spec"], "loadBalancerSourceRanges": ["10.0.0.0/8"]}}
SMALL, ALL = ["balancer/read", "balancer/write"], ["balancer/read", "balancer/write", "firewall/write"]


def test_without_services_it_is_everything(office):
    """The role alone is printed, as the cloud takes it; -o json adds version, driver and Services."""
    assert json.loads(office.lbctl("permissions").out) == {"allow": ALL}
    wrapped = office.lbctl("permissions", "-o", "json").document
    assert wrapped == {"version": 1, "provider": "memory", "services": None, "role": {"allow": ALL}}


def test_services_of_a_file_decide(office, tmp_path):
    """Files without source ranges need no firewall, with them they do; a Service of another controller counts not."""
    file = tmp_path / "services.json"
    foreign = {**NARROW, "spec": {**NARROW["spec"], "loadBalancerClass": "example.com/other"}}
    for services, expected in (([WIDE], SMALL), ([WIDE, NARROW], ALL), ([WIDE, foreign], SMALL)):
        file.write_text(json.dumps({"kind": "List", "items": services}))
        said = office.lbctl("permissions", "-f", str(file))
        assert said.code == 0
        assert json.loads(said.out) == {"allow": expected}


def test_services_of_the_cluster_decide(office):
    """Named Services are read from the API server; one that does not exist is invalid input."""
    office.create("wide")
    office.create("narrow", load_balancer_source_ranges=("10.0.0.0/8",))
    assert json.loads(office.lbctl("permissions", "shop/wide").out) == {"allow": SMALL}
    both = office.lbctl("permissions", "shop/wide", "shop/narrow", "-o", "json").document
    assert both["role"] == {"allow": ALL}
    assert both["services"] == ["shop/narrow", "shop/wide"]
    said = office.lbctl("permissions", "shop/nothing")
    assert said.code == 3
    assert "shop/nothing" in said.err


def test_every_driver_answers_without_a_cluster():
    """With no kubeconfig each driver's role is printed, or it is said that there is none: exit code 0."""
    for provider in known_providers():
        said = lbctl("permissions", "--provider", provider, given={"KUBECONFIG": "/nowhere"})
        assert said.code == 0, (provider, said)
        assert bool(json.loads(said.out)) or "needs no rights" in said.err


def test_one_account_is_needed():
    """Without a provider: exit code 4 and how to name one."""
    said = lbctl("permissions")
    assert said.code == 4
    assert "--provider" in said.err


def test_several_accounts_of_the_driver_are_too_many(tmp_path):
    """Whoever named the driver already is not told to name it."""
    file = tmp_path / "settings.yaml"
    file.write_text("accounts: {a: {provider: aws}, b: {provider: aws}}")
    said = lbctl("permissions", "--provider", "aws", "--config", str(file))
    assert said.code == 4
    assert "there is: a, b" in said.err
    assert "--config FILE" in said.err
