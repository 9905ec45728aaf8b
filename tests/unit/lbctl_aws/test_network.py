"""Which subnets a new balancer gets, and how a refusal explains itself."""

import pytest

from lbctl.errors import MissingFact
from lbctl_aws.network import Network, Subnet, Wanted, ccm_subnets, lbc_subnets, named_subnets

CLUSTER = {"kubernetes.io/cluster/demo": "shared"}
FOREIGN = {"kubernetes.io/cluster/other": "owned"}
PUBLIC_ROLE = {"kubernetes.io/role/elb": "1"}
INTERNAL_ROLE = {"kubernetes.io/role/internal-elb": ""}
PUBLIC = Wanted("internet-facing", "demo")
INTERNAL = Wanted("internal", "demo")


def subnet(name, zone="a", *, public=True, **values):
    """A subnet in a zone."""
    return Subnet(f"subnet-{name}", f"eu-west-1{zone}", "10.0.0.0/24", public, **values)


def ids(subnets):
    """The short names of chosen subnets."""
    return [one.id.removeprefix("subnet-") for one in subnets]


def network(*subnets):
    """A VPC with these subnets."""
    return Network("vpc-1", ("10.0.0.0/16",), subnets)


@pytest.mark.spec("AWS-028")
def test_ccm_prefers_role_then_cluster_then_the_lowest_id():
    """Inside a zone the role tag wins, then the cluster's tag, then the lowest id; the result is sorted by zone."""
    assert ids(ccm_subnets(network(subnet("1"), subnet("2", tags=CLUSTER), subnet("3", tags=PUBLIC_ROLE)), PUBLIC)) == [
        "3"
    ]
    assert ids(ccm_subnets(network(subnet("1"), subnet("2", tags=CLUSTER)), PUBLIC)) == ["2"]
    assert ids(ccm_subnets(network(subnet("2"), subnet("1")), PUBLIC)) == ["1"]
    assert ids(ccm_subnets(network(subnet("1", "b"), subnet("2", "a")), PUBLIC)) == ["2", "1"]


@pytest.mark.spec("AWS-029")
def test_lbc_takes_tagged_subnets_with_eight_free_addresses():
    """The role's tag decides, then the cluster's tag, then the lowest id; nearly full subnets are left out."""
    found = lbc_subnets(
        network(
            subnet("1", tags=PUBLIC_ROLE, free=7),
            subnet("2", tags=PUBLIC_ROLE, free=8),
            subnet("3", tags={**PUBLIC_ROLE, **CLUSTER}),
            subnet("4", "b", tags=PUBLIC_ROLE),
            subnet("5", "c"),
        ),
        PUBLIC,
    )
    assert ids(found) == ["3", "4"]


@pytest.mark.spec("AWS-030")
@pytest.mark.parametrize("choose", [ccm_subnets, lbc_subnets])
def test_a_public_balancer_gets_no_private_subnet(choose):
    """Without a route to an internet gateway no subnet takes a public balancer, and the refusal says so of each."""
    assert ids(choose(network(subnet("1", public=False), subnet("2", "b")), PUBLIC)) == ["2"]
    with pytest.raises(MissingFact, match=r"subnet-1 \(eu-west-1a\)"):
        choose(network(subnet("1", public=False)), PUBLIC)


@pytest.mark.spec("AWS-031")
@pytest.mark.parametrize("choose", [ccm_subnets, lbc_subnets])
def test_a_local_zone_is_left_out(choose):
    """A subnet in a local zone is not mixed with those of availability zones."""
    assert ids(choose(network(subnet("1", "a", zone_type="local-zone"), subnet("2", "b")), PUBLIC)) == ["2"]


@pytest.mark.spec("AWS-032")
def test_without_role_tags_the_routes_decide():
    """LBC takes the subnets whose reach equals the scheme when none is tagged: internal never takes public ones."""
    both = network(subnet("1"), subnet("2", "b", public=False))
    assert ids(lbc_subnets(both, PUBLIC)) == ["1"]
    assert ids(lbc_subnets(both, INTERNAL)) == ["2"]
    assert ids(ccm_subnets(both, INTERNAL)) == ["1", "2"]


@pytest.mark.spec("AWS-033")
@pytest.mark.parametrize("choose", [ccm_subnets, lbc_subnets])
def test_subnets_of_other_clusters_are_left_out(choose):
    """A subnet that is tagged for other clusters only is skipped; one of several clusters is not."""
    found = choose(network(subnet("1", tags=FOREIGN), subnet("2", "b", tags={**FOREIGN, **CLUSTER})), PUBLIC)
    assert ids(found) == ["2"]


@pytest.mark.spec("AWS-034", "AWS-035")
def test_named_subnets_keep_their_order_and_must_differ_in_zone():
    """Ids and Name tags mix, in the order given; two in one zone and unknown ones are refused, all at once."""
    vpc = network(subnet("1"), subnet("2", "b", tags={"Name": "right"}), subnet("3", "b"))
    assert ids(named_subnets(("right", "subnet-1"), vpc)) == ["2", "1"]
    with pytest.raises(MissingFact) as raised:
        named_subnets(("right", "subnet-3", "subnet-9"), vpc)
    assert "subnet-2 and subnet-3 are both in eu-west-1b" in str(raised.value)
    assert "subnet-9 is no subnet of vpc-1" in str(raised.value)


@pytest.mark.spec("AWS-037")
def test_dualstack_needs_ipv6_in_each_subnet():
    """Subnets without IPv6 are left out, and the refusal lists them."""
    dual = Wanted("internet-facing", "demo", dual=True)
    assert ids(lbc_subnets(network(subnet("1"), subnet("2", "b", ipv6_cidrs=("2001:db8::/64",))), dual)) == ["2"]
    with pytest.raises(MissingFact, match=r"subnet-1 .*IPv6"):
        lbc_subnets(network(subnet("1")), dual)


def test_a_refusal_names_the_tag_that_is_missing():
    """When tagged subnets exist but none fits, each other one is told to lack the tag."""
    with pytest.raises(MissingFact) as raised:
        lbc_subnets(network(subnet("1", tags=PUBLIC_ROLE, free=3), subnet("2", "b")), PUBLIC)
    assert "subnet-1 (eu-west-1a): fewer than 8 addresses are free" in str(raised.value)
    assert "subnet-2 (eu-west-1b) is public and lacks the tag kubernetes.io/role/elb" in str(raised.value)
