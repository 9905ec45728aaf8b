"""Files and folders with Services: all that is below is read, what is foreign does not count, every fault is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.console import Said, lbctl

LOCAL = ("--provider", "local")
GOOD = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n"
BAD = GOOD.replace("web", "bad").replace("80", "eighty")
FOREIGN = {
    "kustomization.yaml": "resources: [web.yaml]\n",
    "values.yaml": "replicas: 3\n",
    "patch.json": '[{"op": "add", "path": "/a", "value": 1}]',
    "knative.yaml": "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: other}\n",
    "bare.yaml": "kind: Whatever\n",
    "nothing.yaml": "# to be written\n",
}


def written(folder: Path, **files: str) -> Path:
    """The folder with these files, named by their paths."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def check(*files: Path | str) -> Said:
    """What `lbctl check` says of these files."""
    return lbctl("check", *(word for file in files for word in ("-f", str(file))), *LOCAL)


def test_a_folder_is_read_with_all_that_is_below_it(tmp_path):
    """An invalid Service two folders down is found; hidden folders are left out."""
    said = check(written(tmp_path, **{"a.yaml": GOOD, "sub/deep/bad.yml": BAD, ".git/bad.yaml": BAD}))
    assert said.code == 3
    assert "sub/deep/bad.yml" in said.out
    assert ".git" not in said.out + said.err


def test_what_else_a_folder_holds_does_not_count(tmp_path):
    """Values, patches, kustomizations and other kinds beside a valid Service change nothing, whatever they lack."""
    said = check(written(tmp_path, **{"web.yaml": GOOD}, **FOREIGN))
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()] == ["SERVICE", "default/web"]


def test_faults_of_files_are_told_beside_the_verdicts_on_the_others(tmp_path):
    """A broken first file hides neither a valid nor an invalid Service of those after it, in text and in JSON."""
    folder = written(
        tmp_path, **{"a.yaml": "a: [", "m.yaml": GOOD, "z.yaml": BAD, "y.yaml": GOOD + "---\nkind: Service\n"}
    )
    said = check(folder)
    assert said.code == 3
    assert [line.split()[2] for line in said.out.splitlines()[1:]] == [
        "valid",
        "valid",
        "invalid",
        "invalid",
        "invalid",
    ]
    assert "y.yaml, document 2: the Service has no metadata.name" in said.out
    document = lbctl("check", "-f", str(folder), *LOCAL, "-o", "json").document
    assert sorted((Path(one["file"]).name, one["valid"]) for one in document["services"]) == [
        ("a.yaml", False),
        ("m.yaml", True),
        ("y.yaml, document 1", True),
        ("y.yaml, document 2", False),
        ("z.yaml", False),
    ]


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("a:\n  b: [1, 2\nc: 3\n", "line 3, column 2: while parsing a flow sequence, expected", "correct that line"),
        ("name: {{ .Values.name }}\n", "is not YAML", "helm template"),
        ("", "is empty", "give a file with a Service"),
        ("- a\n- b\n", "holds a list, not an object", "kind: Service"),
        ("a: 1\n", "has no kind", "kind: Service"),
        ("kind: Service\nmetadata: {}\n", "has no metadata.name", "kubectl explain service"),
        (GOOD.replace("web", "12"), "metadata.name is a number, not text", "put it in quotes"),
        ("kind: Service\nmetadata: {name: a}\nspec: x\n", "spec is a text, not a mapping", "kubectl explain service"),
        ("\x07", "is not YAML", "correct that line"),
    ],
)
@pytest.mark.parametrize("command", ["check", "permissions"])
def test_every_fault_of_a_file_says_what_to_do(tmp_path, text, what, remedy, command):
    """File, place, fault and remedy stand in one line, whatever is wrong, and whichever command reads the file."""
    file = written(tmp_path, **{"one.yaml": text}) / "one.yaml"
    said = lbctl(command, "-f", str(file), *LOCAL)
    told = [line for line in (said.out + said.err).splitlines() if "one.yaml" in line]
    assert said.code == 3
    assert len(told) == 1
    assert what in told[0]
    assert remedy in told[0]
    assert "^" not in told[0]


@pytest.mark.parametrize("name", ["missing.yaml", "none"])
def test_a_file_that_is_not_there_is_named_with_the_remedy(tmp_path, name):
    """A missing file, and a folder without a file to read, are errors that say what can be named."""
    (tmp_path / "none").mkdir()
    said = check(tmp_path / name)
    assert said.code == 3
    assert name in said.out
    assert "(name a f" in said.out
