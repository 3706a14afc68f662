"""`/v1/audit` and `/v1/signing-keys`: read, prove, check, take away."""

import io
import json

import pytest
from asgiref.sync import async_to_sync

from apps.orgs.models import ApiKey, Project
from apps.orgs.services import projects
from apps.orgs.services.roles import create_role
from apps.trust import merkle, note, selectors
from apps.trust.models import AuditEvent, SealedSecret, SigningKey
from apps.trust.services.sealer import seal
from apps.trust.standalone.verify_audit import verify
from tests.orgs.conftest import AT, Api, join, problem, token_for
from tests.tenants.browsing import as_member


@pytest.fixture
def log(org, owner):
    """Two projects made by the owner, sealed; gives their entries' numbers."""
    for name in ("One", "=cmd|' /C calc'!A0"):
        projects.create_project(name=name, actor=owner.actor, at=AT)
    seal(at=AT)
    last = AuditEvent.objects.latest("seq").seq
    return [last - 1, last]


def body(answer):
    """All of a file that is written while it is read."""

    async def drain():
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(drain)().decode()


def test_an_entry_has_the_shape_of_the_contract(api, log, owner):
    entry = api.get("/audit?action=orgs.project.created&limit=1").json()["results"][0]
    event = AuditEvent.objects.get(seq=log[1])

    assert entry == {
        "seq": log[1],
        "at": AT.isoformat(timespec="microseconds"),
        "actor": owner.actor.as_json(),
        "action": "orgs.project.created",
        "subject": {"type": "project", "id": event.subject_id},
        "detail": event.detail,
        "prev": bytes(event.prev).hex(),
        "hash": bytes(event.hash).hex(),
        "erased": False,
        "withheld": False,
    }


def test_what_changed_is_for_who_may_read_data_and_files_for_who_may_export_it(api_as, log):
    admin = api_as("admin", scopes=["audit.view", "audit.export"])
    entry = admin.get(f"/audit/{log[0]}/proof").json()["entry"]

    assert (entry["detail"], entry["body"], entry["withheld"]) == (None, None, True)
    assert entry["action"] == "orgs.project.created"
    assert problem(admin.get("/audit/export"))[0] == 403
    blind = api_as("admin", scopes=["audit.view", "audit.export", "data.export"])
    for kind in ("jsonl", "csv"):
        refused = blind.get(f"/audit/export?format={kind}")
        assert problem(refused)[0] == 403 and refused.json()["permission"] == "data.read"
    assert blind.get("/audit/export?format=checkpoints").status_code == 200
    reader = api_as("admin", scopes=["audit.view", "audit.export", "data.read", "data.export"])
    assert reader.get(f"/audit/{log[0]}/proof").json()["entry"]["withheld"] is False
    assert reader.get("/audit/export").status_code == 200


def test_entries_are_filtered_and_paged(api, log, owner):
    def seqs(query):
        answer = api.get(f"/audit?{query}").json()
        return [entry["seq"] for entry in answer["results"]], answer["next"]

    subject = AuditEvent.objects.get(seq=log[0]).subject_id
    assert seqs(f"subject={subject}") == ([log[0]], None)
    assert seqs("action=orgs.project.created&subject=project&limit=1")[0] == [log[1]]
    first, cursor = seqs("action=orgs.project.created&limit=1")
    assert seqs(f"action=orgs.project.created&limit=1&cursor={cursor}")[0] == [log[0]]
    assert first == [log[1]]
    assert seqs(f"actor={owner.actor.id}&until=2000-01-01T00:00:00Z") == ([], None)
    assert problem(api.get("/audit?who=x"))[0] == 422


def test_a_proof_is_enough_to_believe_an_entry(api, log):
    proof = api.get(f"/audit/{log[0]}/proof").json()
    entry, checkpoint = proof["entry"], proof["checkpoint"]
    head, _ = note.verify(checkpoint["note"], keys=note.note_keys(selectors.jwks()["keys"]))

    assert json.loads(entry["body"])["subject"] == entry["subject"]
    assert merkle.verify_inclusion(
        index=proof["index"],
        size=head.size,
        leaf=merkle.leaf_hash(bytes.fromhex(entry["hash"])),
        path=[bytes.fromhex(step) for step in proof["path"]],
        root=head.root,
    )
    assert proof["leaf"] == merkle.leaf_hash(bytes.fromhex(entry["hash"])).hex()
    assert (checkpoint["size"], checkpoint["last_seq"]) == (head.size, log[1])


def test_what_is_not_sealed_yet_says_so(api, log, owner):
    projects.create_project(name="Two", actor=owner.actor, at=AT)

    assert problem(api.get(f"/audit/{log[1] + 1}/proof")) == (409, "not_sealed")
    for seq in ("0", "-1", "01x", "9" * 19, str(log[1] + 50)):
        assert problem(api.get(f"/audit/{seq}/proof")) == (404, "not_found")
    assert problem(api.get("/audit/records/prj_0/proof")) == (404, "not_found")


def test_the_log_is_proved_to_have_only_grown(api, log, owner):
    projects.create_project(name="Two", actor=owner.actor, at=AT)
    seal(at=AT)
    newest, oldest = api.get("/audit/checkpoints").json()["results"]
    growth = api.get(f"/audit/checkpoints/{newest['number']}/growth").json()

    assert (growth["new"], growth["old"]) == (newest, oldest)
    assert merkle.verify_consistency(
        old=oldest["size"],
        size=newest["size"],
        path=[bytes.fromhex(step) for step in growth["path"]],
        old_root=bytes.fromhex(oldest["root"]),
        root=bytes.fromhex(newest["root"]),
    )
    path = f"/audit/checkpoints/{oldest['number']}/growth?old={newest['number']}"
    assert problem(api.get(path)) == (404, "not_found")


def test_the_log_is_checked_here_and_now(api, log):
    report = api.post("/audit/verify", {}).json()

    assert report["valid"] is True
    assert [check["name"] for check in report["checks"]] == [
        *("chain", "leaves", "records", "tree", "checkpoints", "signature", "sealing")
    ]
    assert (report["from_seq"], report["to_seq"]) == (1, log[1])
    part = api.post("/audit/verify", {"from_seq": log[0], "to_seq": log[0]}).json()
    beyond = api.post("/audit/verify", {"from_seq": log[1] + 2})
    assert problem(beyond) == (422, "invalid")
    assert beyond.json()["errors"][0]["field"] == "from_seq"
    assert part["checks"][0]["detail"] == f"Entries {log[0]} to {log[0]}: 1 checked."


def test_what_was_changed_is_named(api, log, as_superuser):
    as_superuser(f"update audit_events set actor_label = 'Eve' where seq = {log[0]}")
    report = api.post("/audit/verify", {}).json()

    assert report["valid"] is False
    assert report["checks"][0] == {
        "name": "chain",
        "ok": False,
        "warning": False,
        "detail": f"Entry {log[0]}: its columns don't say what its body says.",
    }


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("update trust_tile set hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3))", "leaves"),
        ("update trust_checkpoint set root = sha256('x') where number = 1", "tree"),
        ("update trust_checkpoint set note = replace(note, 'acme', 'evil')", "signature"),
    ],
)
def test_what_was_changed_beside_the_entries_is_named_too(api, log, as_superuser, change, broken):
    as_superuser(change)
    report = api.post("/audit/verify", {}).json()

    assert broken in {check["name"] for check in report["checks"] if not check["ok"]}


def test_the_whole_log_is_exported_for_the_offline_verifier(api, log):
    export = body(api.get("/audit/export"))
    notes = body(api.get("/audit/export?format=checkpoints"))
    program = api.get("/audit/verifier")

    assert verify(io.BytesIO(export.encode()), notes.encode(), selectors.jwks())[0] == []
    assert export.count("\n") == log[1] + 1
    assert program["Content-Disposition"] == 'attachment; filename="verify_audit.py"'
    assert program.content.startswith(b"#!/usr/bin/env python3\n")


def test_entries_are_exported_as_csv_without_formulas(api, log):
    answer = api.get("/audit/export?format=csv&action=orgs.project.created")
    lines = body(answer).splitlines()

    assert answer["Content-Disposition"] == 'attachment; filename="audit-acme.csv"'
    assert lines[0] == (
        "seq,at,actor_type,actor_id,actor,action,subject_type,subject_id,detail,hash,erased"
    )
    assert lines[1].startswith(f"{log[1]},{AT.isoformat(timespec='microseconds')},user,mem_")
    assert "=cmd" in lines[1]
    assert not any(cell.startswith(("=", "+", "@")) for cell in lines[1].split(","))


def test_retention_is_the_owners_to_change(api, api_as, events):
    assert api.get("/audit/retention").json() == {"keep_days": None, "erased_to": 0}
    assert problem(api_as("admin")("PUT", "/audit/retention", {"keep_days": 90}))[0] == 403
    assert api.get("/audit/retention").json()["keep_days"] is None

    assert api("PUT", "/audit/retention", {"keep_days": 90}).json()["keep_days"] == 90
    assert problem(api("PUT", "/audit/retention", {"keep_days": 29}))[0] == 422
    assert api("PUT", "/audit/retention", {"keep_days": None}).json()["keep_days"] is None
    assert [e[0] for e in events()].count("trust.audit_retention.changed") == 2


def test_signing_keys_go_from_next_to_revoked(api, events):
    first = api.get("/signing-keys").json()["results"][0]
    made = api.post("/signing-keys").json()
    assert (made["state"], problem(api.post("/signing-keys"))) == (
        "next",
        (409, "signing_key_pending"),
    )
    active = api.post("/signing-keys/rotate").json()
    assert (active["kid"], active["state"]) == (made["kid"], "active")
    path = f"/signing-keys/{first['kid']}/revoke"
    assert problem(api.post(path, {}))[0] == 422
    assert api.post(path, {"reason": "Lost"}).json()["state"] == "revoked"

    assert {k["kid"]: k["state"] for k in api.get("/signing-keys").json()["results"]} == {
        made["kid"]: "active",
        first["kid"]: "revoked",
    }
    assert problem(api.post("/signing-keys/nobody/revoke", {"reason": "x"}))[0] == 404
    assert [e[0].removeprefix("trust.signing_key.") for e in events()][-4:] == [
        *("created", "retired", "activated", "revoked")
    ]


FULL = """
create function no_space() returns trigger language plpgsql as $$
begin
  raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
end $$;
create trigger no_space before insert on audit_events for each row execute function no_space()
"""


def test_a_change_that_can_not_be_put_on_record_does_not_happen(api, org, as_superuser):
    """The outage: the audit log can't be written, the rest of the database can."""
    calls = (("/projects", {"name": "New"}), ("/signing-keys", None), ("/keys", {"name": "New"}))
    kinds = (Project, SigningKey, SealedSecret, ApiKey, AuditEvent)
    before = [kind.objects.count() for kind in kinds]
    as_superuser(FULL)
    for path, sent in calls:
        assert problem(api.post(path, sent)) == (503, "unavailable")
    assert [kind.objects.count() for kind in kinds] == before

    as_superuser("drop trigger no_space on audit_events")  # the control: now they happen
    assert [api.post(path, sent).status_code for path, sent in calls] == [201, 201, 201]
    assert [kind.objects.count() for kind in kinds] == [count + 1 for count in before[:4]] + [
        before[4] + 3
    ]


def test_the_page_hands_out_what_entries_say_only_to_who_reads_data(org, owner, log):
    taking = ["audit.view", "audit.export", "data.export"]
    blind = create_role(name="Blind", permissions=taking, by=owner, at=AT)
    theirs, admins = (as_member(org, join(org, slug)) for slug in (blind.slug, "admin"))
    url = "/audit/file/?format="
    for kind in ("jsonl", "csv"):
        assert theirs.get(f"{url}{kind}").status_code == 403
        assert admins.get(f"{url}{kind}").status_code == 200
        assert f"format={kind}".encode() in admins.get("/audit/").content
        assert f"format={kind}".encode() not in theirs.get("/audit/").content
    for kind in ("checkpoints", "verifier"):
        assert theirs.get(f"{url}{kind}").status_code == 200


def test_who_reads_the_log_gets_the_verifier_by_page_and_api(org, owner, log):
    """It holds nothing of the log, and checks one that somebody else hands over."""
    role = create_role(name="Reader", permissions=["audit.view"], by=owner, at=AT)
    reader, other = join(org, role.slug), join(org, "member")
    page, url = as_member(org, reader), "/audit/file/?format=verifier"

    assert page.get(url).content == Api(token_for(org, reader)).get("/audit/verifier").content
    listed = page.get("/audit/").content
    assert b"format=verifier" in listed and b"jwks.json" in listed
    assert b"format=checkpoints" not in listed
    assert page.get("/audit/file/?format=checkpoints").status_code == 403
    assert as_member(org, other).get(url).status_code == 403
