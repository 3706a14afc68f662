-- What is on record of a run that is over, and of a decision, as one text each: jsonb writes it the same way
-- every time, and its SHA-256 is what the record leaves in the tree (trust_leaf). Times are microseconds since
-- 1970, for how a time reads depends on the session. What was said stands there by its own SHA-256, so that a
-- proof can be shown to who may not read it.
create function fingerprint(p_value jsonb) returns text language sql immutable parallel safe as $$
  select encode(sha256(convert_to(p_value::text, 'UTF8')), 'hex')
$$;

create function micros_of(p_at timestamptz) returns bigint language sql immutable parallel safe as $$
  select (extract(epoch from p_at) * 1000000)::bigint
$$;

create function run_record(r runs) returns text language sql stable as $$
  select jsonb_build_object('id', r.id, 'agent', r.agent_id, 'manifest', r.manifest_id, 'project', r.project_id,
    'tool', r.tool, 'status', r.status, 'reason', r.reason, 'mode', r.mode, 'environment', r.environment,
    'caller', r.caller_type || ':' || r.caller_id, 'parent', r.parent_id, 'root', r.root_id, 'lineage', r.lineage,
    'decision', r.decision_id, 'approval', r.approval_id, 'attempts', r.lease_no, 'cost_micros', r.cost_micros,
    'input', fingerprint(r.input), 'output', fingerprint(r.output), 'error', fingerprint(r.error),
    'created_at', micros_of(r.created_at), 'started_at', micros_of(r.started_at),
    'finished_at', micros_of(r.finished_at))::text
$$;

create function leave_run() returns trigger language plpgsql as $$
begin
  perform leave('run', new.id, sha256(convert_to(run_record(new), 'UTF8')));
  return null;
end $$;
-- A run ends in many ways and may cost more afterwards: whatever was spent counts. The newest leaf is what holds.
create trigger run_left_refused after insert on runs
  for each row when (new.finished_at is not null) execute function leave_run();
create trigger run_left after update of status, cost_micros on runs for each row
  when (new.finished_at is not null and (old.finished_at is null or new.cost_micros <> old.cost_micros))
  execute function leave_run();

create function decision_record(d decisions) returns text language sql stable as $$
  select jsonb_build_object('id', d.id, 'run', d.run_id, 'ordinal', d.ordinal, 'agent', d.agent_id, 'tool', d.tool,
    'action', d.action, 'result', d.result, 'reasons', d.reasons, 'policies', d.policies, 'bundle', d.bundle,
    'obligations', d.obligations, 'shadows', d.shadows, 'input_digest', encode(d.input_digest, 'hex'),
    'caller', d.caller_type || ':' || d.caller_id, 'at', micros_of(d.at))::text
$$;

create function leave_decision() returns trigger language plpgsql as $$
begin
  perform leave('decision', new.id, sha256(convert_to(decision_record(new), 'UTF8')));
  return null;
end $$;
create trigger decision_left after insert on decisions for each row execute function leave_decision();
