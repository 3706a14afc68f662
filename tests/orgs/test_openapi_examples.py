"""What the API's description shows is what it says: examples, each of its own kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.orgs.conftest import Api

# Bodies that have no example: older than the rule that whatever comes has one.
WITHOUT = {
    ("get", "/v1/agents/{agent}/keys"),
    ("get", "/v1/agents/{agent}/manifests"),
    ("get", "/v1/agents/{agent}/manifests/{version}"),
    ("get", "/v1/keys"),
    ("get", "/v1/keys/{key}"),
    ("get", "/v1/runs/{run}/events"),
    ("get", "/v1/runs/{run}/feedback"),
    ("get", "/v1/runs/{run}/logs"),
    ("get", "/v1/runs/{run}/steps"),
    ("patch", "/v1/agents/{agent}/grants/{grant}"),
    ("patch", "/v1/model-prices/{price}"),
    ("patch", "/v1/model-providers/{provider}"),
    ("post", "/v1/agents/{agent}/invoke"),  # its stream; the answer has one
    ("post", "/v1/agents/{agent}/signing-secret"),
    ("post", "/v1/agents/{agent}/suspend"),
}


@pytest.fixture
def described(db: None) -> Any:
    return Api().get("/schema").json()


def bodies(described: Any) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """What each operation takes and, where all is well, answers."""
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"].items()
            fine = [found for status, found in answers if status.startswith("2")]
            for body in [operation.get("requestBody", {}), *fine]:
                for content in body.get("content", {}).values():
                    yield (method, path), content


def test_every_body_is_shown_by_an_example(described: Any) -> None:
    assert {name for name, body in bodies(described) if "examples" not in body} == WITHOUT


def test_every_example_is_of_its_kind(described: Any) -> None:
    shown = 0
    for name, body in bodies(described):
        kind = {**body["schema"], "components": described["components"]}
        for example in body.get("examples", {}).values():
            shown += 1
            faults = [
                fault.message for fault in Draft202012Validator(kind).iter_errors(example["value"])
            ]
            assert faults == [], name
    assert shown > 60
