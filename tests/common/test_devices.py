from __future__ import annotations

import pytest

from apps.common import devices

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"


@pytest.mark.parametrize(
    ("user_agent", "name", "handheld"),
    [
        (f"{MAC} Chrome/142.0.0.0 Safari/537.36", "Chrome on macOS", False),
        (f"{MAC} Version/18.0 Safari/605.1.15", "Safari on macOS", False),
        (f"{WINDOWS} AppleWebKit Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows", False),
        (f"{WINDOWS} Gecko/20100101 Firefox/145.0", "Firefox on Windows", False),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko Firefox/145.0", "Firefox on Linux", False),
        ("Mozilla/5.0 (X11; CrOS x86_64) Chrome/142.0 Safari/537.36", "Chrome on ChromeOS", False),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/142.0 Safari/604.1",
            "Chrome on iPhone",
            True,
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) SamsungBrowser/28.0 Chrome/142.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
            True,
        ),
        ("curl/8.5.0", "curl", False),
        ("Mozilla/5.0 (Windows NT 10.0)", "Windows", False),
        ("", "Unknown browser", False),
    ],
)
def test_a_browser_is_named_as_people_name_it(user_agent: str, name: str, handheld: bool) -> None:
    assert devices.name_of(user_agent) == name
    assert devices.is_handheld(user_agent) is handheld
