"""Puts together the file system of the final image: one Python, one folder of packages, what they link to, no shell.

Run by the Dockerfile: `python rootfs.py PACKAGES OUT`. Byte code is written here, since the container's file system is
read-only; it is trusted without a look at the sources' times, which an image build does not keep.
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

ELF = b"\x7fELF"
USER = 65532
# Parts of the standard library that only people at a keyboard or compilers need, and every way to install more.
LEFT_OUT = ("test", "idlelib", "ensurepip", "tkinter", "turtledemo", "lib2to3", "pydoc_data", "site-packages")
LEFT_OUT_PREFIX = "config-"
LOADER_SETTINGS = "etc/ld.so.conf", "etc/ld.so.conf.d/*.conf"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FILES = {
    "etc/passwd": f"lbctl:x:{USER}:{USER}:lbctl:/tmp:/nonexistent\n",
    "etc/group": f"lbctl:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def build(packages: Path, out: Path) -> None:
    """Fill `out`."""
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    _copy_file(interpreter, out)
    shutil.copytree(library, _inside(library, out), ignore=_left_out(library), symlinks=True)
    shutil.copytree(packages, _inside(packages, out), dirs_exist_ok=True)
    for path in sorted(set(_linked([interpreter, *_binaries(library), *_binaries(packages)]))):
        _copy_file(path, out)
    for name, text in FILES.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    _index_libraries(out)
    _copy_file(CERTIFICATES, out)
    (out / "tmp").mkdir(exist_ok=True)
    (out / "tmp").chmod(0o1777)
    _link_python(interpreter, out)
    for folder in (_inside(library, out), _inside(packages, out)):
        _compile(folder, out)


def _inside(path: Path, out: Path) -> Path:
    return out / path.absolute().relative_to("/")


def _copy_file(path: Path, out: Path) -> None:
    """The file a name stands for, under that name."""
    target = _inside(path, out)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _left_out(library: Path) -> object:
    def ignored(folder: str, names: list[str]) -> list[str]:
        top = Path(folder) == library
        return [name for name in names if name == "__pycache__" or (top and _is_left_out(name))]

    return ignored


def _is_left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIX)


def _binaries(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(map(_is_left_out, path.relative_to(folder).parts)) and _is_elf(path):
            yield path


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == ELF


def _linked(binaries: Iterable[Path]) -> Iterator[Path]:
    """The libraries and the loader that these need, as the loader of this machine finds them."""
    for binary in binaries:
        done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            yield from (Path(word) for word in line.split() if word.startswith("/") and not word.endswith(":"))


def _index_libraries(out: Path) -> None:
    """The loader's cache: without it only the folders that are built into the loader are searched."""
    for pattern in LOADER_SETTINGS:
        for path in Path("/").glob(pattern):
            _copy_file(path, out)
    subprocess.run(["ldconfig", "-X", "-r", str(out)], check=True)


def _link_python(interpreter: Path, out: Path) -> None:
    """One name for the interpreter, wherever it lives."""
    link = out / "usr/bin/python3"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(interpreter)


def _compile(folder: Path, out: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # What does not compile (templates among the packages) says so itself, and is never imported.
    compileall.compile_dir(folder, quiet=1, workers=0, invalidation_mode=mode, stripdir=str(out), prependdir="/")


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
