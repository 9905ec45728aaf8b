"""The state of the cloud and what all commands share: ids, look-ups by the caller's view, lists in pages, jobs.

The rules are in `balancing`, `addressing` and `filtering`; each states which rule of the server it keeps.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tests.clouds.cloudstack.catalog import Catalog
from tests.clouds.cloudstack.faults import Faults
from tests.clouds.cloudstack.jobs import Effect, Jobs
from tests.clouds.cloudstack.objects import AclItem, AclList, Address, Firewall, Forwarding, Machine, Network, Rule
from tests.clouds.cloudstack.refusals import Refusal, invalid, unknown_id

Arguments = dict[str, Any]
Row = dict[str, Any]
Thing = TypeVar("Thing")
LISTS_EVERYTHING_BY_DEFAULT = 500


class Cloud:
    """One account's cloud. `now` is the clock of jobs; `page_limit` is the server's default and greatest page size.

    `monitored` has the state of machines, by id, as providers with health checks last reported it.
    """

    def __init__(self, release: str = "4.22") -> None:
        self.now: Callable[[], float] = lambda: 0.0
        self.catalog = Catalog(release)
        self.release = release
        self.faults = Faults()
        self.jobs = Jobs(lambda: self.now())  # noqa: PLW0108 - tests set another clock later
        self.lock = threading.RLock()
        self.page_limit = LISTS_EVERYTHING_BY_DEFAULT
        self.address_limit = 1000
        self.api_limit = (0, 1)
        self.free_addresses_visible = True
        self.networks: dict[str, Network] = {}
        self.addresses: dict[str, Address] = {}
        self.rules: dict[str, Rule] = {}
        self.firewalls: dict[str, Firewall] = {}
        self.acl_lists: dict[str, AclList] = {}
        self.acl_items: dict[str, AclItem] = {}
        self.forwardings: dict[str, Forwarding] = {}
        self.machines: dict[str, Machine] = {}
        self.monitored: dict[str, str] = {}
        self._ids = 0
        self._recent: list[float] = []

    def new_id(self) -> str:
        """The next id; the same sequence in each run."""
        self._ids += 1
        return str(uuid.UUID(int=(0xC5 << 96) | self._ids, version=4))

    def allow_call(self) -> None:
        """The API limiter of an account: so many calls an interval, then 429 with the wait in the text."""
        most, interval = self.api_limit
        if not most:
            return
        now = self.now()
        self._recent = [at for at in self._recent if at > now - interval]
        if len(self._recent) >= most:
            left = int((self._recent[0] + interval - now) * 1000)
            raise Refusal(429, f"The given user has reached his/her account api limit, please retry after [{left}] ms.")
        self._recent.append(now)

    def find(self, things: dict[str, Thing], parameter: str, key: str, args: Arguments | None = None) -> Thing:
        """The thing with this id, as far as the caller's project shows it."""
        thing = things.get(key)
        if thing is None or not visible(thing, args or {"projectid": getattr(thing, "project_id", "")}):
            raise unknown_id(parameter, key)
        return thing

    def listed(self, key: str, rows: Iterable[Row], args: Arguments) -> Row:
        """A list answer, cut to its page; no hit is an empty object."""
        every = sorted(rows, key=lambda row: str(row["id"]))
        if not every:
            return {}
        size = min(int(args.get("pagesize") or self.page_limit), self.page_limit)
        start = (int(args.get("page") or 1) - 1) * size
        return {"count": len(every), key: every[start : start + size]}

    def accept(
        self,
        command: str,
        effect: Effect,
        *,
        queue: str = "",
        entity: str = "",
        undo: Callable[[], None] = lambda: None,
    ) -> Row:
        """Answer with a job; `entity` is the id of what a create has made already."""
        job = self.jobs.submit(self.new_id(), command, queue=queue or self.new_id(), effect=effect, undo=undo)
        return {"jobid": job.id} | ({"id": entity} if entity else {})

    def used_addresses(self, project_id: str) -> int:
        """How many public addresses the account, or one of its projects, has."""
        return sum(1 for a in self.addresses.values() if a.state != "Free" and a.project_id == project_id)

    def rules_of(self, address_id: str) -> list[Rule]:
        """The load balancer rules of an address."""
        return [rule for rule in self.rules.values() if rule.address_id == address_id]


def visible(thing: object, args: Arguments) -> bool:
    """A project's objects are seen with its id and only then."""
    return bool(getattr(thing, "project_id", "") == args.get("projectid", ""))


def need(args: Arguments, name: str) -> Any:
    """A parameter that this use of the command cannot do without."""
    if args.get(name) in (None, ""):
        raise invalid(f"Unable to execute API command due to missing parameter {name}")
    return args[name]


def has_tags(tags: dict[str, str], wanted: list[dict[str, str]] | None) -> bool:
    """True when all wanted tags are there."""
    return all(tags.get(tag["key"]) == tag.get("value", tags.get(tag["key"])) for tag in wanted or ())
