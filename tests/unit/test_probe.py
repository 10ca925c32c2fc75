"""What the probe reads off a console; the probe itself boots in tests/e2e."""

import pytest

from farm.probe import tsc_khz

DETECTED = "[    0.068000] tsc: Detected 2594.166 MHz processor\r\n"
REFINED = "[    2.188830] tsc: Refined TSC clocksource calibration: 2596.114 MHz\r\n"
DEVIATES = """[    0.080000] tsc: PIT calibration deviates from HPET: 79354 2594360\r
[    0.084000] tsc: Using PIT calibration value\r
[    0.088000] tsc: Detected 79.354 MHz processor\r
"""


@pytest.mark.parametrize(("console", "khz"), [
    (DETECTED, 2594166), (DETECTED + REFINED, 2596114), (DEVIATES, 2594360), (DEVIATES + REFINED, 2596114), ("", 0),
])
def test_frequency_of_the_time_stamp_counter(console, khz):
    assert tsc_khz(console) == khz
