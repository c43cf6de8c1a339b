"""kill -9 at every stage of a save: the file is the old model or the new one, byte by byte, and loads."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

KILLED_SAVES = pathlib.Path(__file__).with_name("killed_saves.py")


def outcomes(folder: pathlib.Path, how: str) -> dict[str, dict[str, int]]:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(KILLED_SAVES), str(folder), how],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


def test_a_killed_save_leaves_the_old_model_or_the_new_one(tmp_path: pathlib.Path) -> None:
    found = outcomes(tmp_path, "in one step")
    assert {outcome for counts in found.values() for outcome in counts} <= {"old", "new", "survived"}
    # Killed before each of many calls, the last few of which come after the new file has taken the old one's place.
    assert found["calls"]["old"] > 50
    assert found["calls"]["new"] > 0
    assert found["calls"]["survived"] == 1
    assert found["writes"]["old"] > 0
    assert sum(found["moments"].values()) == 20


def test_a_save_in_place_would_leave_half_a_model(tmp_path: pathlib.Path) -> None:
    """The negative control: the same kills find a save that writes into the file itself."""
    found = outcomes(tmp_path, "in place")
    assert found["calls"]["unreadable"] > 0
    assert found["writes"]["unreadable"] > 0
