-- What is on record of a run that is over, and of a decision, as one text each: jsonb writes it the same way
-- every time, and its SHA-256 is what the record leaves in the tree (trust_leaf). Times are microseconds since
-- 1970, for how a time reads depends on the session. What was said stands there by a salted SHA-256, so that a
-- proof can be shown to who may not read it: the salt stays with the leaf, and so does what a run had cost and used
-- when it left it, which alone of it may still change.
create function fingerprint(p_value jsonb, p_salt text) returns text language sql immutable parallel safe as $$
  select encode(sha256(convert_to(p_salt || p_value::text, 'UTF8')), 'hex')
$$;

create function micros_of(p_at timestamptz) returns bigint language sql immutable parallel safe as $$
  select (extract(epoch from p_at) * 1000000)::bigint
$$;

create function run_record(r runs, p_aside jsonb) returns text language sql stable as $$
  select jsonb_build_object('id', r.id, 'agent', r.agent_id, 'manifest', r.manifest_id, 'project', r.project_id,
    'tool', r.tool, 'status', r.status, 'reason', r.reason, 'mode', r.mode, 'environment', r.environment,
    'caller', r.caller_type || ':' || r.caller_id, 'label', r.caller_label, 'member', r.member_id,
    'parent', r.parent_id, 'root', r.root_id, 'lineage', r.lineage, 'session', r.session_id,
    'decision', r.decision_id, 'approval', r.approval_id, 'attempts', r.lease_no,
    'cost_micros', p_aside -> 'cost_micros', 'usage', p_aside -> 'usage', 'title', fingerprint(to_jsonb(r.title), p_aside ->> 'salt'),
    'input', fingerprint(r.input, p_aside ->> 'salt'), 'output', fingerprint(r.output, p_aside ->> 'salt'),
    'error', fingerprint(r.error, p_aside ->> 'salt'), 'created_at', micros_of(r.created_at),
    'started_at', micros_of(r.started_at), 'finished_at', micros_of(r.finished_at))::text
$$;

create function leave_run() returns trigger language plpgsql as $$
declare aside jsonb := jsonb_build_object('salt', gen_random_uuid(), 'cost_micros', new.cost_micros, 'usage', new.usage);
begin
  perform leave('run', new.id, sha256(convert_to(run_record(new, aside), 'UTF8')), aside);
  return null;
end $$;
-- A run ends in many ways and may cost more afterwards: whatever was spent counts, and leaves another.
create trigger run_left_refused after insert on runs
  for each row when (new.finished_at is not null) execute function leave_run();
create trigger run_left after update of status, cost_micros, usage on runs for each row
  when (new.finished_at is not null and (old.finished_at is null or new.cost_micros <> old.cost_micros
    or new.usage is distinct from old.usage))
  execute function leave_run();

-- What is over stays as it was, but for what it cost after all and for what is forgotten of it.
create function keep_run() returns trigger language plpgsql as $$
declare open constant text[] := '{cost_micros,usage,spent,idempotency_key,is_sealed}';
begin
  if to_jsonb(new) - open is distinct from to_jsonb(old) - open then
    raise exception 'a run that is over stays as it was' using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger run_stays before update on runs
  for each row when (old.finished_at is not null) execute function keep_run();

create function decision_record(d decisions) returns text language sql stable as $$
  select jsonb_build_object('id', d.id, 'run', d.run_id, 'ordinal', d.ordinal, 'agent', d.agent_id, 'tool', d.tool,
    'action', d.action, 'result', d.result, 'reasons', d.reasons, 'policies', d.policies, 'bundle', d.bundle,
    'obligations', d.obligations, 'shadows', d.shadows, 'input_digest', encode(d.input_digest, 'hex'),
    'caller', d.caller_type || ':' || d.caller_id, 'label', d.caller_label, 'micros', d.micros,
    'at', micros_of(d.at))::text
$$;

create function leave_decision() returns trigger language plpgsql as $$
begin
  perform leave('decision', new.id, sha256(convert_to(decision_record(new), 'UTF8')));
  return null;
end $$;
create trigger decision_left after insert on decisions for each row execute function leave_decision();
