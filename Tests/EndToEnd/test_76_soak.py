"""The short forms of scripts/soak."""
import pytest

from harness import soak, soak_calls


@pytest.mark.slow
def test_calls_leave_nothing_behind(tmp_path):
    result = soak_calls.calls(20_000, tmp_path, print)
    assert result.is_good, result.text
    assert result.figures["calls"] >= 20_000 and result.figures["p99.9 of a call, us, below"] > 0


@pytest.mark.slow
def test_functions_replaced_under_load_fail_nothing(tmp_path):
    result = soak.replace(12, tmp_path, print, rate=100)
    assert result.is_good, result.text
    assert result.figures["replacements asked for"] >= 5


@pytest.mark.slow
@pytest.mark.parametrize("untrusted", [True, False])
def test_the_worst_scripts_cost_others_nothing_beyond_the_first_strike(tmp_path, untrusted):
    result = soak.worst(12, tmp_path, print, untrusted=untrusted, rate=50)
    assert result.is_good, result.text
    assert result.figures["others served"] > 20
