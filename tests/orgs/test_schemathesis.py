"""The API against its own description: what was never thought of, asked by three kinds of callers.

Schemathesis makes requests from the schema, well-formed and malformed ones, and holds each answer
against it: status, media type, headers, body; malformed is refused, well-formed isn't, nothing is
ever a 5xx.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from apps.common import egress
from apps.tenants import keys
from tests.orgs.conftest import join, owner_of, token_for
from tests.orgs.test_matrix import World

# Everything is asked here once more for each role: coverage is counted where it is tried in depth.
pytestmark = pytest.mark.no_cover

EXAMPLES = 8
# A well-formed request may still be refused for what the schema can't say: a name already taken
# (409), a project that isn't at this version (412), a time that is past or a role that doesn't
# exist (422), a cursor from nowhere (400).
ACCEPTED = ["2xx", "304", "400", "401", "403", "404", "409", "412", "422"]
CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}}
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("who", ["owner", "viewer", "anonymous"])
def test_no_answer_contradicts_the_description(
    throwaway_org: Any,
    who: str,
    mode: GenerationMode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "request", nobody_there)
    monkeypatch.setattr(django_settings, "STREAM_SECONDS", 0)
    org = throwaway_org()
    member = {"owner": owner_of, "viewer": lambda o: join(o, "viewer")}.get(who)
    headers = {"Authorization": f"Bearer {token_for(org, member(org))}"} if member else {}
    schema = schemathesis.openapi.from_wsgi("/v1/schema", get_wsgi_application(), config=CONFIG)
    statuses: Counter[int] = Counter()

    world = World(org)
    refs = world.refs()
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in sorted(operations, key=is_writing):  # nothing that is read gets used up
        explore(operation.as_strategy(generation_mode=mode), headers, statuses)
        if "{" in operation.path:  # once more with things that exist
            if member and is_writing(operation):
                refs = world.refs()
            explore(
                operation.as_strategy(generation_mode=mode, path_parameters=refs),
                headers,
                statuses,
            )

    with capsys.disabled():
        print(f"\nschemathesis {who} {mode.value}: {dict(sorted(statuses.items()))}")
    assert not any(status >= 500 for status in statuses)
    if who == "anonymous":
        assert set(statuses) <= {401, 404}


def is_writing(operation: Any) -> bool:
    return operation.method.upper() != "GET"


def nobody_there(*args: Any, **options: Any) -> None:
    """What an http agent's endpoint is in these tests."""
    raise egress.EgressUnreachable("Nobody is there.")


def explore(cases: Any, headers: dict[str, str], statuses: Counter[int]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        with keys.holding():
            answer = case.call(headers=headers)
        statuses[answer.status_code] += 1
        case.validate_response(answer, headers=headers)

    ask()
