"""Signals: the first is noted, the second ends the process at once."""

import os
import signal
import subprocess
import sys

import pytest

from wellfit.train.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_only_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert interrupt.signal is None
        os.kill(os.getpid(), number)
        assert interrupt.signal == number
    # whoever handled signals before does so again
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process_with_its_code(number: signal.Signals) -> None:
    program = (
        "import os\nfrom wellfit.train.interrupt import Interrupt\n"
        f"with Interrupt():\n    os.kill(os.getpid(), {int(number)})\n"
        f"    os.kill(os.getpid(), {int(number)})\n    os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert done.returncode == 128 + number
