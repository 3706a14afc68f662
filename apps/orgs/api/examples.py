"""The bodies that the API's description shows."""

from __future__ import annotations

from typing import Any, Final

from apps.common.openapi import example

_MEMBER_ID: Final = "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11"
_AT: Final = "2027-01-31T12:00:00Z"

_PROJECT: Final[dict[str, Any]] = {
    "id": "prj_0190f7c26d1e7b5a9c3e2f4b6a8d0e12",
    "name": "Customer support",
    "slug": "support",
    "tags": ["emea"],
    "default": False,
    "archived_at": None,
    "created_at": _AT,
    "updated_at": _AT,
}
_MEMBER: Final = {
    "id": _MEMBER_ID,
    "name": "Ada Osei",
    "email": "ada@acme.example",
    "role": "member",
    "groups": ["finance"],
    "joined_at": _AT,
    "left_at": None,
}
_KEY: Final[dict[str, Any]] = {
    "id": "key_0190f7c26d1e7b5a9c3e2f4b6a8d0e13",
    "name": "Nightly export",
    "prefix": "mnd_8fK2pQ7x",
    "member": _MEMBER_ID,
    "agent": None,
    "scopes": ["projects.view"],
    "status": "active",
    "created_at": _AT,
    "expires_at": None,
    "grace_until": None,
    "last_used_at": None,
    "revoked_at": None,
    "rotated_from": None,
    "token": "mnd_…",
}

ME: Final = [
    example(
        "A key of a member",
        {
            "principal": {
                "type": "api_key",
                "id": _KEY["id"],
                "label": "Nightly export (Ada Osei)",
            },
            "member": _MEMBER_ID,
            "org": {
                "id": "org_0190f7c26d1e7b5a9c3e2f4b6a8d0e10",
                "slug": "acme",
                "name": "Acme",
            },
            "plan": {
                "code": "standard",
                "name": "Standard",
                "member_limit": None,
                "agent_limit": 20,
            },
            "role": "member",
            "permissions": ["projects.view"],
        },
    )
]
PROJECT: Final = [example("A project", _PROJECT)]
PROJECT_CREATE: Final = [
    example(
        "A project",
        {"name": "Customer support", "slug": "support", "tags": ["emea"]},
        request=True,
    ),
    example("The project", _PROJECT, status=201),
]
PROJECT_CHANGE: Final = [
    example("Put it away", {"archived": True}, request=True),
    example("The project", {**_PROJECT, "archived_at": _AT}),
]
MEMBER: Final = [example("A member", _MEMBER)]
MEMBER_CHANGE: Final = [
    example("Make an admin", {"role": "admin"}, request=True),
    example("Set the groups", {"groups": ["finance", "emea"]}, request=True),
    example("The member", {**_MEMBER, "role": "admin"}),
]
_ROLE: Final[dict[str, Any]] = {
    "id": "rol_0190f7c26d1e7b5a9c3e2f4b6a8d0e15",
    "slug": "auditor",
    "name": "Auditor",
    "description": "Reads everything and changes nothing.",
    "built_in": False,
    "permissions": ["audit.view", "data.read", "runs.view"],
    "members": 2,
}
ROLE: Final = [example("A role", _ROLE)]
ROLE_CREATE: Final = [
    example(
        "A role that only reads",
        {
            "name": "Auditor",
            "description": "Reads everything and changes nothing.",
            "permissions": ["runs.view", "data.read", "audit.view"],
        },
        request=True,
    ),
    example("The role", {**_ROLE, "members": 0}, status=201),
]
ROLE_CHANGE: Final = [
    example("Let it see less", {"permissions": ["audit.view", "runs.view"]}, request=True),
    example("The role", {**_ROLE, "permissions": ["audit.view", "runs.view"]}),
]
PERMISSIONS: Final = [
    example(
        "What can be allowed",
        {
            "results": [
                {
                    "code": "runs.view",
                    "description": "See runs: their states, times, steps and costs",
                    "area": "Runs",
                    "owners_only": False,
                    "agents": True,
                }
            ],
            "next": None,
        },
    )
]
INVITATION_CREATE: Final = [
    example("Invite a colleague", {"email": "kofi@acme.example", "role": "member"}, request=True),
    example(
        "The invitation",
        {
            "id": "inv_0190f7c26d1e7b5a9c3e2f4b6a8d0e14",
            "email": "kofi@acme.example",
            "role": "member",
            "state": "pending",
            "invited_by": _MEMBER_ID,
            "created_at": _AT,
            "expires_at": "2027-02-07T12:00:00Z",
            "sent_at": None,
        },
        status=201,
    ),
]
KEY_CREATE: Final = [
    example(
        "A key that only reads",
        {"name": "Nightly export", "scopes": ["projects.view"]},
        request=True,
    ),
    example("The key, with its token", _KEY, status=201),
]
KEY_ROTATE: Final = [
    example("With an hour of grace", {"grace_seconds": 3600}, request=True),
    example("The new key, with its token", _KEY, status=201),
]
