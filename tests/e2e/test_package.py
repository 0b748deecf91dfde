"""What is installed is what is in the checkout: nothing missing, nothing extra."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest.importorskip("hatchling", reason="needs the [test] extra, as make test installs it")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built here and now, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = next(iter(folder.glob("*.whl")))
    return zipfile.ZipFile(built).namelist()


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    source = ROOT / "src"
    files = [
        p for p in (source / "wellfit").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    ]
    # templates and the like are installed too
    assert {p.relative_to(source).as_posix() for p in files} <= set(wheel)


def test_only_the_package_is_in_the_wheel(wheel):
    tops = {Path(name).parts[0] for name in wheel}
    # no tests and no examples land in a user's site-packages
    assert {top for top in tops if not top.endswith(".dist-info")} == {"wellfit"}


def test_the_licence_travels_along(wheel):
    # Apache-2.0, section 4: give every recipient a copy
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_constraints_name_one_version_of_everything():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    # a fresh install is the same install; torch's CPU and CUDA builds both satisfy its pin
    assert all(line.count("==") == 1 and "+" not in line for line in pins)
    names = [line.split("==")[0] for line in pins]
    # each once, in order
    assert names == sorted(set(names))
