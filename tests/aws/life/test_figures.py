"""What the driver shows of AWS: the health of targets, and how many calls are left."""

from lbctl.driver import Figure
from tests.aws.cluster import EXTERNAL, Cluster, service


def shown(cluster, figure):
    return {label: value for (what, label), value in cluster.figures.items() if what is figure}


def test_a_snapshot_shows_the_health_of_all_targets_at_no_further_call(aws):
    """Every registered target is counted in the state that AWS gives it, as the snapshot has read it anyway."""
    cluster = Cluster.begin(aws)
    assert set(shown(cluster, Figure.TARGETS)) == {"healthy", "unhealthy", "draining", "unknown"}
    assert sum(shown(cluster, Figure.TARGETS).values()) == 0
    others = {group["TargetGroupArn"] for group in aws.client("elbv2").describe_target_groups()["TargetGroups"]}
    cluster.apply(service(annotations=EXTERNAL))
    cluster.crash()
    cluster.settle()
    groups = aws.client("elbv2").describe_target_groups()["TargetGroups"]
    described = [
        entry
        for group in groups
        if group["TargetGroupArn"] not in others
        for entry in aws.client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
            "TargetHealthDescriptions"
        ]
    ]
    assert described
    assert sum(shown(cluster, Figure.TARGETS).values()) == len(described)


def test_each_budget_of_calls_shows_what_is_left_of_it(aws):
    """A read takes from the reads' budget."""
    cluster = Cluster.begin(aws)
    left = shown(cluster, Figure.BUDGET_LEFT)
    assert 0 < left["elbv2.Describe"] < 200
