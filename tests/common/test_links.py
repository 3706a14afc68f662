"""Addresses that carry the selected project on."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import set_urlconf

from apps.common.links import link, turn, with_query


@pytest.fixture(autouse=True)
def _on_an_orgs_host() -> object:
    set_urlconf("config.urls.org")
    yield
    set_urlconf(None)


def request(query: str) -> object:
    return RequestFactory().get(f"/runs/?{query}")


def test_a_link_carries_the_selected_project_and_nothing_else() -> None:
    asked = request("project=apollo&status=failed")
    assert link(asked, "agents:agent", "echo") == "/agents/echo/?project=apollo"
    assert link(asked, "runs:runs", level="all") == "/runs/?project=apollo&level=all"
    assert link(request(""), "runs:runs", level="") == "/runs/"


def test_what_stands_in_an_address_is_quoted() -> None:
    assert with_query("/x/", {"q": "a b&c=d", "none": ""}) == "/x/?q=a+b%26c%3Dd"
    assert link(request("project=a%26b"), "agents:agent", "a?b") == "/agents/a%3Fb/?project=a%26b"


def test_a_neighbouring_page_keeps_the_filter_it_is_told_to_keep() -> None:
    asked = request("q=x&project=apollo&after=old&odd=1&status=")
    assert turn(asked, "after", "new", keep=["q", "status"]) == "?q=x&project=apollo&after=new"
    assert turn(asked, "after", None, keep=["q"]) is None


def test_a_template_writes_the_same_address() -> None:
    source = '{% page_url "runs:run" "run_1" like="a&b" %}'
    context = Context({"request": request("project=apollo")})
    written = Template("{% load ui %}" + source).render(context)
    assert written == "/runs/run_1/?project=apollo&amp;like=a%26b"
