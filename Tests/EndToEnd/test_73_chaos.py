"""The short form of scripts/chaos: mixed load under reloads, killed workers and upgrades."""
import pytest

from harness import chaos


@pytest.mark.slow
def test_reloads_kills_and_upgrades_under_mixed_load_fail_nothing(tmp_path):
    report = chaos.run(chaos.Plan(seconds=25, workers=2, rate=60, reload=1, kill=7, upgrade=10), tmp_path, print)
    assert report.is_good, report.text
    assert report.done["reloads"] >= 10 and report.done["kills"] >= 2 and report.done["upgrades"] >= 1, report.text
