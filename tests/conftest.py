"""What any test may ask for, and what every test gets without asking."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
SEED = int(os.environ.get("WELLFIT_TEST_SEED", "1"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
THREADS = 1  # sums depend on how they are cut; and on tiny tensors a second thread only waits

# No deadline: a neighbour's load is not a failure.  In CI the examples are the same every time.
settings.register_profile(
    "wellfit", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("wellfit")


@pytest.fixture(scope="session", autouse=True)
def _apart_from_this_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches go to a temporary folder and nothing asks a hub, whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(autouse=True)
def _same_threads_everywhere() -> None:
    """Only where a test has torch already: to import it here would slow every other test."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora: $WELLFIT_DATA, else ../shared/data beside the checkout."""
    named = os.environ.get("WELLFIT_DATA")
    if named:
        assert Path(named).is_dir(), f"WELLFIT_DATA={named} is not a folder"
        return Path(named)
    beside = ROOT.parent / "shared" / "data"
    if not beside.is_dir():
        pytest.skip(f"needs real corpora: no folder {beside}, and WELLFIT_DATA is not set")
    return beside


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same every time; the seed is printed when the test fails."""
    print(f"rng seed {SEED} (set WELLFIT_TEST_SEED to try another)")
    return np.random.default_rng(SEED)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """Where a run directory may be made; it does not exist yet."""
    return tmp_path / "runs" / "a-run"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's command, for tests marked ``browser``."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}; `make test` installs it where it can")
    return found
