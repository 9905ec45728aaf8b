"""What every driver must hold, whoever wrote it: run over all installed drivers and the memory driver.

A third party adds its driver by installing it. The life of a Service over each driver's own counterpart is in the
driver's own folder of tests; here is what can be asked without any cloud.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from lbctl.annotations import Annotation
from lbctl.driver import DriverInfo
from lbctl.engine.assembly import claim_rules
from lbctl.model.capabilities import Capabilities
from lbctl.registry import find_provider, known_providers
from lbctl.settings import AccountSettings, Settings
from tests.clouds.memory import MemoryCloud
from tests.clouds.memory import info as memory

SDKS = {
    "boto3", "botocore", "azure.mgmt", "azure.identity", "google.cloud.compute_v1", "google.auth", "openstack",
    "keystoneauth1", "cs", "envoy", "kubernetes",
}  # fmt: skip
PROVIDERS = sorted({*known_providers(), "memory"})


@pytest.fixture(params=PROVIDERS)
def info(request) -> DriverInfo:
    """One driver after the other."""
    return memory(MemoryCloud()) if request.param == "memory" else find_provider(request.param)


def test_the_entry_points_name_what_they_load():
    """A driver is found under its own name."""
    for name in known_providers():
        assert find_provider(name).name == name


@pytest.mark.parametrize("name", known_providers())
def test_importing_a_driver_loads_no_sdk(name):
    """Only connecting does: help and completion must cost nothing."""
    code = (
        "import json, sys; from lbctl.registry import find_provider; find_provider(sys.argv[1]);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    reply = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    loaded = {module for module in json.loads(reply.stdout) if module in SDKS}
    assert loaded == set()


def test_a_driver_serves_its_classes_alone_and_beside_all_others():
    """No class is claimed twice: not by one driver, and not by two."""
    infos = {name: find_provider(name) for name in known_providers()}
    for chosen in (*({name: info} for name, info in infos.items()), infos):
        settings = Settings(accounts={name: AccountSettings(provider=name) for name in chosen})
        classes = claim_rules(settings, chosen).classes
        assert {f"lbctl.io/{name}": name for name in chosen}.items() <= classes.items()


def test_scope_kinds_are_ranked_and_those_with_nodes_are_among_them(info):
    """The rank is the place in the list, so no kind may be there twice."""
    assert info.scope_kinds
    assert len(set(info.scope_kinds)) == len(info.scope_kinds)
    assert info.node_kinds <= set(info.scope_kinds)


def test_the_classes_are_upstreams_own(info):
    """The class `lbctl.io/NAME` is every driver's already, and one that is listed twice cannot be served."""
    assert f"lbctl.io/{info.name}" not in info.classes
    assert len(set(info.classes)) == len(info.classes)


def test_every_annotation_describes_itself(info):
    """Key, grammar and a sentence for people; a default that fits; a name that is a Python name."""
    for annotation in info.annotations:
        assert isinstance(annotation, Annotation)
        assert annotation.doc.strip().endswith((".", "`")), annotation.key
        assert annotation.kind.grammar
        assert annotation.name.isidentifier(), annotation.key
        assert "/" in annotation.key


def test_no_annotation_takes_any_nonsense_silently(info):
    """An unknown key under a driver's own prefix that looks like a known one is told with the known one."""
    prefixes = (*info.annotations.prefixes, "lbctl.io/")
    exact = [one for one in info.annotations if not one.is_pattern and one.key.startswith(prefixes)]
    for annotation in exact:
        misspelt = annotation.key + "x"
        if info.annotations.find(misspelt) is None:
            notices = info.annotations.read({misspelt: "1"}).notices
            assert any("did you mean" in notice.message for notice in notices), misspelt


def test_an_empty_set_of_annotations_is_valid(info):
    """Defaults never are a problem, and every declared name has a value."""
    values = info.annotations.read({})
    assert values.problems == ()
    assert {annotation.name for annotation in info.annotations} == set(values.by_name)


def test_capabilities_make_sense(info):
    """Some protocol, some family; two families only with both in the list."""
    capabilities = info.capabilities
    assert isinstance(capabilities, Capabilities)
    assert capabilities.protocols <= {"TCP", "UDP", "SCTP"}
    assert capabilities.protocols
    assert set(capabilities.families) <= {"IPv4", "IPv6"}
    assert not capabilities.dual_stack or len(capabilities.families) == 2


def test_settings_can_be_made_from_nothing_or_say_what_is_missing(info):
    """The settings' type is one that the settings file can be decoded into."""
    from lbctl.errors import InvalidSettings
    from lbctl.settings import decode

    with contextlib.suppress(InvalidSettings):
        assert isinstance(decode({}, info.settings, where="settings"), info.settings)
    with pytest.raises(InvalidSettings, match="nonsense"):
        decode({"nonsense": 1}, info.settings, where="settings")


def test_config_faults_are_none_where_there_is_no_file(info):
    """A driver whose settings name no file that exists finds nothing wrong with it."""
    from lbctl.errors import InvalidSettings
    from lbctl.settings import decode

    with contextlib.suppress(InvalidSettings):
        assert list(info.config_faults(decode({}, info.settings, where="settings"))) == []
