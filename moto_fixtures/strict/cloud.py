"""What a rule may look at: moto's own objects of one region, the ledger, the clock, and the cloud's answers.

Handed to every hook for the length of one call, while the gate's lock is held. moto's objects carry no types for us;
each rule names the attributes it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends

if TYPE_CHECKING:
    from moto_fixtures.strict.ledger import Ledger
    from moto_fixtures.wire import Json

# moto's classes carry no types; None, where there is no such object, hides in here too.
MotoObject = Any


@dataclass(frozen=True, slots=True)
class Cloud:
    """One region of the account. `ask(service, operation, params)` is a call through the gate, its answer parsed."""

    region: str
    ledger: Ledger
    now: float
    ask: Callable[[str, str, Json], Json]
    quotas: dict[str, int]

    @property
    def ec2(self) -> MotoObject:
        """EC2 of the region."""
        return ec2_backends[DEFAULT_ACCOUNT_ID][self.region]

    @property
    def elb(self) -> MotoObject:
        """Classic balancers of the region."""
        return elb_backends[DEFAULT_ACCOUNT_ID][self.region]

    @property
    def elbv2(self) -> MotoObject:
        """Balancers, target groups and listeners of the region."""
        return elbv2_backends[DEFAULT_ACCOUNT_ID][self.region]

    def balancer(self, arn: str) -> MotoObject:
        """The v2 balancer with this ARN."""
        return self.elbv2.load_balancers.get(arn)

    def target_group(self, arn: str) -> MotoObject:
        """The target group with this ARN."""
        return self.elbv2.target_groups.get(arn)

    def listener(self, arn: str) -> MotoObject:
        """The v2 listener with this ARN."""
        balancer = self.balancer(arn.replace(":listener/", ":loadbalancer/").rpartition("/")[0])
        return balancer.listeners.get(arn) if balancer else None

    def listeners(self) -> Iterator[MotoObject]:
        """All v2 listeners of the region."""
        for balancer in self.elbv2.load_balancers.values():
            yield from balancer.listeners.values()

    def security_group(self, group_id: str) -> MotoObject:
        """The security group with this id."""
        return self.ec2.get_security_group_from_id(group_id)

    def subnet(self, subnet_id: str) -> MotoObject:
        """The subnet with this id."""
        return next((zone[subnet_id] for zone in self.ec2.subnets.values() if subnet_id in zone), None)

    def instance(self, instance_id: str) -> MotoObject:
        """The instance with this id, in whatever state; None once it is terminated."""
        found = self.ec2.get_instance_by_id(instance_id)
        return None if found is None or found.state == "terminated" else found
