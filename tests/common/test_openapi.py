from __future__ import annotations

import jsonschema
import pytest
from drf_spectacular.validation import validate_schema

from apps.common import openapi
from apps.common.errors import Conflict, NotFound
from tests.common.conftest import bearer


@pytest.fixture
def schema(api):
    answer = api.get("/v1/schema")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    return answer.json()


def operation(schema, method, path):
    return schema["paths"][path][method]


def names(found, place):
    return {p["name"] for p in found.get("parameters", []) if p["in"] == place}


def test_the_description_is_valid_openapi_3_1(schema):
    validate_schema(schema)
    assert schema["openapi"] == "3.1.0"
    assert set(schema["paths"]) == {"/v1/open", "/v1/doors", "/v1/doors/{name}"}


def test_who_has_the_description_gets_304(api):
    version = api.get("/v1/schema")["ETag"]
    assert api.get("/v1/schema", headers={"If-None-Match": version}).status_code == 304
    assert api.get("/v1/schema", headers={"If-None-Match": '"old"'}).status_code == 200


def test_every_operation_names_its_errors(schema):
    def errors(method, path):
        responses = operation(schema, method, path)["responses"]
        return {int(status) for status in responses if int(status) >= 400}

    always = {400, 405, 406, 422, 429, 500, 503}
    assert errors("get", "/v1/open") == always
    assert errors("get", "/v1/doors") == always | {401, 403}
    assert errors("post", "/v1/doors") == always | {401, 403, 409, 413, 415}
    assert errors("get", "/v1/doors/{name}") == always | {401, 403, 404}
    assert errors("patch", "/v1/doors/{name}") == always | {401, 403, 404, 409, 412, 413, 415}


def test_operations_have_names_of_their_own(schema):
    found = [f["operationId"] for path in schema["paths"].values() for f in path.values()]
    assert sorted(found) == [
        *("doors_create", "doors_destroy", "doors_list", "doors_partial_update"),
        *("doors_retrieve", "open_retrieve"),
    ]


def test_an_operation_is_described_in_its_views_own_words(schema):
    assert operation(schema, "get", "/v1/doors/{name}")["description"] == "A door."
    assert "description" not in operation(schema, "get", "/v1/doors")


def test_a_list_is_paged_and_a_deletion_answers_nothing(schema):
    assert names(operation(schema, "get", "/v1/doors"), "query") == {"cursor", "limit"}
    assert names(operation(schema, "get", "/v1/open"), "query") == set()
    deleted = operation(schema, "delete", "/v1/doors/{name}")["responses"]
    assert "content" not in deleted["204"]


def test_who_may_ask_is_said(schema):
    assert operation(schema, "get", "/v1/open")["security"] == [{}]
    assert operation(schema, "get", "/v1/doors")["security"] == [{"key": []}]


def test_every_post_takes_an_idempotency_key_and_nothing_else_does(schema):
    takers = {
        (method, path)
        for path, methods in schema["paths"].items()
        for method, found in methods.items()
        if "Idempotency-Key" in names(found, "header")
    }
    assert takers == {("post", "/v1/doors")}


def test_versioned_resources_take_and_give_versions(schema):
    read = operation(schema, "get", "/v1/doors/{name}")
    change = operation(schema, "patch", "/v1/doors/{name}")
    assert names(read, "header") == {"If-None-Match"}
    assert names(change, "header") == {"If-Match"}
    assert "ETag" in read["responses"]["200"]["headers"]
    assert "304" in read["responses"]
    assert "ETag" not in operation(schema, "get", "/v1/doors")["responses"]["200"]["headers"]


def test_every_answer_names_its_request_and_what_is_left(schema):
    for response in schema["components"]["responses"].values():
        assert {"X-Request-Id", "RateLimit", "RateLimit-Policy"} <= set(response["headers"])
    found = operation(schema, "post", "/v1/doors")["responses"]["201"]["headers"]
    assert {"X-Request-Id", "traceparent", "RateLimit", "RateLimit-Policy"} == set(found)


def test_every_reference_leads_somewhere(schema):
    def refs(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for item in node.values():
                yield from refs(item)
        elif isinstance(node, list):
            for item in node:
                yield from refs(item)

    found = set(refs(schema))
    assert "#/components/responses/NotFound" in found
    for ref in found:
        node = schema
        for step in ref.removeprefix("#/").split("/"):
            node = node[step]


@pytest.mark.parametrize(
    ("method", "path", "codes"),
    [
        ("GET", "/v1/doors", None),
        ("PUT", "/v1/doors", ""),
        ("GET", "/v1/doors/x", ""),
        ("POST", "/v1/doors", "doors.edit"),
        ("GET", "/v1/raise/bug", ""),
    ],
)
def test_problems_are_as_described(api, schema, method, path, codes):
    headers = {} if codes is None else bearer(codes)
    answer = api.generic(method, path, "{}", "application/json", headers=headers)
    assert answer.status_code >= 400
    jsonschema.validate(answer.json(), schema["components"]["schemas"]["Problem"])


def test_the_examples_of_problems_are_as_described(schema):
    problem = schema["components"]["schemas"]["Problem"]
    for response in schema["components"]["responses"].values():
        jsonschema.validate(response["content"]["application/problem+json"]["example"], problem)


def test_what_a_problem_may_hold_besides_is_described(schema):
    known = schema["components"]["schemas"]["Problem"]["properties"]
    assert {"errors", "retry_after", "permission", "reason", "run", "parameter"} <= set(known)
    denied = schema["components"]["responses"]["PermissionDenied"]
    example = denied["content"]["application/problem+json"]["example"]
    assert example["permission"] == "projects.edit"


def test_an_operations_own_problems_are_told_by_examples():
    found = openapi.problems(
        "/v1/doors", Conflict("It is ajar.", run="run_1"), NotFound(), Conflict("It is locked.")
    )
    assert list(found) == [(409, openapi.CONTENT_TYPE), (404, openapi.CONTENT_TYPE)]
    ajar, locked = (example.value for example in found[409, openapi.CONTENT_TYPE].examples)
    assert (ajar["detail"], ajar["run"], ajar["instance"]) == ("It is ajar.", "run_1", "/v1/doors")
    assert (locked["detail"], "run" in locked) == ("It is locked.", False)


def test_an_example_of_a_view_is_in_its_request(schema):
    content = operation(schema, "post", "/v1/doors")["requestBody"]["content"]
    assert content["application/json"]["examples"]["ADoor"]["value"] == {"name": "front"}


def test_the_page_of_it_loads_nothing_from_elsewhere_and_runs_nothing_inline(api):
    answer = api.get("/v1/docs")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "http" not in html
    assert "<style" not in html
    assert html.count("<script") == html.count("<script src=") == 2
    policy = set(answer["Content-Security-Policy"].split("; "))
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= policy
