-- Policies and approvals in the life of a run. What stands here takes the place of what stood in 0002_spine.sql.
--
-- Lock order: agent, then the org's policies, then runs from the root to the leaf, key, budgets; approvals and the
-- audit head come after all of them. Whoever changes the org's policies holds their head FOR UPDATE.
--
-- Where a run is meant by its id, its status stands within coalesce: the planner would else choose the index on
-- status, which has an entry for every run that ever ran.

drop function admit(uuid, uuid, uuid, uuid, text, text, text, jsonb, int, text, text, text, text, text, bytea, text,
  boolean, uuid[], bigint, uuid, int, uuid, text, int, jsonb, text, interval, timestamptz);
drop function begin_step(uuid, int, uuid, int, text, text, jsonb, jsonb, timestamptz);
drop function end_step(uuid, int, uuid, text, jsonb, jsonb, jsonb, timestamptz);

-- What was decided of a call, with the document that it was decided by. It is written by the statement that it is
-- about, so that neither is on record without the other.
create function put_decision(p_run uuid, p_ordinal int, p_decision jsonb, p_at timestamptz) returns void
language plpgsql as $$
begin
  if p_decision is null then return; end if;
  insert into decisions (id, run_id, ordinal, agent_id, tool, action, result, reasons, policies, bundle, obligations,
      shadows, input_digest, micros, caller_type, caller_id, caller_label, at)
    select d.id, p_run, p_ordinal, d.agent_id, d.tool, d.action, d.result, d.reasons, d.policies, d.bundle, d.obligations,
      d.shadows, decode(d.input_digest, 'hex'), d.micros, d.caller_type, d.caller_id, d.caller_label, p_at
    from jsonb_to_record(p_decision) as d(id uuid, agent_id uuid, tool text, action text, result text, reasons jsonb,
      policies jsonb, bundle int, obligations jsonb, shadows jsonb, input_digest text, micros int,
      caller_type text, caller_id text, caller_label text);
  if jsonb_typeof(p_decision -> 'document') = 'object' then
    insert into decision_inputs (decision_id, document, at)
      values ((p_decision ->> 'id')::uuid, p_decision -> 'document', p_at);
  end if;
end $$;

-- Whether a decision was made by what the org's policies, or its projects' tags (p_tags, by project), are no more.
-- The policies stay as they are until we commit.
create function is_stale(p_bundle int, p_tags jsonb) returns boolean
language plpgsql as $$
declare present int;
begin
  select h.bundle into present from policy_heads h for key share;
  return coalesce(present, 0) <> p_bundle or p_tags is not null and exists (
    select from jsonb_each(p_tags) as t join projects p on p.id = t.key::uuid where p.tags <> t.value);
end $$;

-- What a key stands for: its run, and how a request with this fingerprint is answered. One that waits for a person,
-- or did, was answered with its run already, and is again.
create or replace function keyed_run(p_principal text, p_key text, p_fingerprint bytea)
returns table (run_id uuid, status text, outcome text) language sql stable as $$
  select r.id, r.status::text, case when r.fingerprint <> p_fingerprint then 'other_body'
      when r.mode = 'sync' and (r.status in ('queued', 'running') and r.approval_id is null
        or r.status = 'awaiting_approval' and r.parent_id is not null) then 'in_flight' else 'replay' end
    from runs r where r.principal = p_principal and r.idempotency_key = p_key and r.status <> 'denied'
$$;

-- The open runs among these and all open runs below them, locked from the roots to the leaves. A level is
-- read after the one above it is locked, so a child that was being admitted is found, and no other can be.
create or replace function lock_open(p_runs uuid[]) returns uuid[]
language plpgsql as $$
declare roots uuid[]; level uuid[]; locked uuid[] := '{}';
begin
  select array_agg(distinct root_id) into roots from runs where id = any(p_runs);
  for depth in 1..depth_limit() loop
    select array_agg(o.id) into level from (
      select id from runs
        where root_id = any(roots) and status in ('queued', 'running', 'awaiting_approval') and cardinality(lineage) = depth
          and (id = any(p_runs) or parent_id = any(locked))
        order by id for no key update) as o;
    locked := locked || coalesce(level, '{}');
  end loop;
  return locked;
end $$;

-- Admission. The agent's row decides whether it may work; whoever stops it locks that row FOR UPDATE,
-- so it waits for us or we see it. A parent must be running under the lease that its execution holds,
-- and stays so until we commit: a cancellation finds this child or comes before it. What was decided of the call
-- counts if policies and tags are still those that it was decided by (p_bundle; p_tags by project).
create function admit(
  p_run uuid, p_agent uuid, p_manifest uuid, p_project uuid, p_tool text, p_title text, p_mode text,
  p_input jsonb, p_timeout int, p_caller_type text, p_caller_id text, p_caller_label text, p_member uuid,
  p_principal text, p_key text, p_fingerprint bytea, p_refusal text, p_recalled boolean, p_scopes uuid[], p_price bigint,
  p_bundle int, p_tags jsonb, p_decision jsonb, p_awaits boolean, p_sealed boolean,
  p_parent uuid, p_parent_lease int, p_step uuid, p_step_name text, p_ordinal int, p_notes jsonb,
  p_session text, p_lease interval, p_at timestamptz,
  out outcome text, out run_id uuid, out lease_no int, out status text, out reason text,
  out root_id uuid, out lineage uuid[], out deadline_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
  gate record; up record; known record; refusal text := p_refusal; member uuid := p_member;
  project uuid := p_project; session text := p_session; deadline timestamptz := now() + make_interval(secs => p_timeout);
  calling uuid;                                  -- the agent that asks, if one does
begin
  -- 0. An agent's own key: its agent calls, with no run of it around. Both rows are held, in the order in which
  -- everybody locks two.
  if p_parent is null and p_caller_type = 'agent' then
    calling := right(p_caller_id, 32)::uuid;
    perform from agents a where a.id in (p_agent, calling) order by a.id for key share;
    refusal := case when calling = p_agent then 'cycle'
                    when not exists (select from agents a where a.id = calling and a.status = 'active') then 'caller_stopped'
                    else refusal end;
  end if;

  -- 1. The agent as it is now. The slug of one that was recalled by it, and is gone, may be another's by now.
  select a.status, a.manifest_id into gate from agents a
    where a.id = p_agent and not (p_recalled and a.status = 'retired') for key share;
  if not found and not p_recalled then outcome := 'no_agent'; return; end if;
  if not found or gate.manifest_id is distinct from p_manifest then outcome := 'stale_manifest'; return; end if;
  if is_stale(p_bundle, p_tags) then outcome := 'stale_policy'; return; end if;
  if gate.status <> 'active' then refusal := 'agent_' || gate.status; end if;
  root_id := p_run;
  lineage := array_remove(array[calling], null) || p_agent;

  -- 2. The parent, whose lineage is the server's and never the caller's word.
  if p_parent is not null then
    select r.root_id, r.lineage, r.agent_id, r.project_id, r.session_id, r.deadline_at, r.member_id into up from runs r
      where r.id = p_parent and r.lease_no = p_parent_lease and coalesce(r.status, '') = 'running' for share;
    outcome := case when not found then 'fenced' when up.deadline_at <= now() then 'late'
                    when p_agent = any(up.lineage) then 'cycle'
                    when cardinality(up.lineage) >= depth_limit() then 'too_deep' end;
    if outcome is not null then return; end if;
    calling := up.agent_id;
    root_id := up.root_id;
    lineage := up.lineage || p_agent;
    project := up.project_id;
    session := up.session_id;
    member := up.member_id;
    deadline := least(deadline, up.deadline_at);
  end if;
  -- Who holds no grant learns no more than that, be there a policy against the call or not.
  if calling is not null and (refusal is null or refusal ^@ 'policy') and not exists (
      select from grants g where g.caller_id = calling and g.callee_id = p_agent and g.active
        and (g.expires_at is null or g.expires_at > now()) and (g.tools ? '*' or g.tools ? p_tool)) then
    refusal := 'no_grant';
  end if;

  loop
    -- 3. The key: what it already stands for is answered, whatever has become of the agent since.
    if p_key is not null then
      select k.run_id, k.status, k.outcome into known from keyed_run(p_principal, p_key, p_fingerprint) as k;
      if found then
        run_id := known.run_id;
        status := known.status;
        outcome := known.outcome;
        if outcome = 'in_flight' and status in ('running', 'awaiting_approval') and p_parent is not null then
          -- An earlier attempt of our parent left it unfinished. That one is fenced off; it is ours now, if it may go
          -- on as things stand: what is in its way ends it, and a person is asked for what none has agreed to.
          -- Where policies can't be asked for a moment it is left as it is: for another attempt, or to end with us.
          if refusal is not null then
            if refusal <> 'policy_unavailable' then
              perform stop_runs(array[known.run_id], 'cancelled', refusal, p_at);
              continue when not found;
              status := 'cancelled';
            end if;
            outcome := 'denied';
            reason := refusal;
          elsif p_awaits and not exists (
              select from decisions d where d.run_id = known.run_id and d.ordinal is null
                and d.result = 'require_approval' and d.reasons @> (p_decision -> 'reasons')) then
            outcome := 'must_wait';
            return;
          else
            update runs r set deadline_at = deadline, status = 'running'
              where r.id = known.run_id and coalesce(r.status, '') = known.status returning r.lease_no into lease_no;
            continue when not found;
            outcome := 'admitted';
          end if;
          perform put_decision(known.run_id, null, p_decision, p_at);
        end if;
        exit;
      end if;
    end if;

    -- 4. The budgets, by id: the price is reserved in all scopes or in none. No budget exists yet, so a call that
    -- counts against one can't be let through; and what has no price is refused, not free. Whoever will have
    -- waited here has to look at the key again before saying that money is short: its run may be the first.
    refusal := coalesce(refusal, case when p_price is null then 'no_price'
                                      when cardinality(p_scopes) > 0 then 'no_budget' end);

    -- A call in the middle of a run that a person has to agree to: it is its root that waits (suspend_run).
    if refusal is null and p_awaits and p_parent is not null then outcome := 'must_wait'; return; end if;

    -- 5. The record, of a refusal too.
    status := case when refusal is not null then 'denied' when p_awaits then 'awaiting_approval'
                   when p_mode = 'async' then 'queued' else 'running' end;
    lease_no := case status when 'running' then 1 else 0 end;
    insert into runs (id, agent_id, manifest_id, project_id, tool, title, status, reason, mode, environment, input,
        cost_micros, parent_id, root_id, lineage, caller_type, caller_id, caller_label, member_id, principal,
        idempotency_key, fingerprint, session_id, lease_no, lease_until, timeout_seconds, deadline_at, created_at,
        started_at, finished_at, told, decision_id, is_sealed)
      values (p_run, p_agent, p_manifest, project, p_tool, p_title, status, coalesce(refusal, ''), p_mode, 'live', p_input,
        0, p_parent, root_id, lineage, p_caller_type, p_caller_id, p_caller_label, member, p_principal,
        p_key, p_fingerprint, session, lease_no, case when lease_no = 1 and p_parent is null then now() + p_lease end,
        p_timeout, case when lease_no = 1 then deadline end, p_at, case when lease_no = 1 then p_at end,
        case when refusal is not null then p_at end, p_mode = 'async' or p_awaits, (p_decision ->> 'id')::uuid,
        p_sealed and refusal is null)
      on conflict (principal, idempotency_key) where idempotency_key is not null and status <> 'denied' do nothing;
    if found then
      run_id := p_run;
      outcome := case when refusal is null then case status when 'awaiting_approval' then status else 'admitted' end
                      when refusal = 'no_budget' then refusal else 'denied' end;
      reason := refusal;
      perform put_decision(p_run, null, p_decision, p_at);
      exit;
    end if;                                     -- somebody claimed the key since we looked: look again
  end loop;

  -- 6. The call as a step of the parent.
  if p_parent is not null and outcome <> 'other_body' then
    perform put_notes(p_parent, p_parent_lease, p_notes);
    insert into steps (id, run_id, attempt, ordinal, kind, name, status, error, child_id, started_at, finished_at)
      values (p_step, p_parent, p_parent_lease, p_ordinal, 'agent_call', p_step_name,
        case when outcome = 'admitted' then 'running' when status = 'succeeded' then 'succeeded' else 'failed' end,
        case when reason is not null then jsonb_build_object('code', reason) end, run_id, p_at,
        case when outcome <> 'admitted' then p_at end);
  end if;
  deadline_at := deadline;
end $$;

-- End open runs and every open run below them. One that nobody carries out just now is cancelled.
create or replace function stop_runs(p_runs uuid[], p_status text, p_reason text, p_at timestamptz) returns setof uuid
language plpgsql as $$
declare stopped uuid[] := lock_open(p_runs);
begin
  update runs set status = case when status in ('queued', 'awaiting_approval') then 'cancelled' else p_status end,
      reason = p_reason, finished_at = p_at, lease_until = null
    where id = any(stopped);
  perform discard_steps(stopped, p_at);
  -- A parent that goes on sees that its call has failed.
  update steps set status = 'failed', error = jsonb_build_object('code', 'stopped'), finished_at = p_at
    where child_id = any(stopped) and status = 'running';
  perform tell_status(stopped);
  return query select unnest(stopped);
end $$;

-- Settlement. Fenced: a run that was cancelled, reaped or taken over has another state or lease number, and
-- then nothing happens at all, but that what was spent counts. Nor does it when time is up: the run can only be
-- ended as timed out. Answers ours, late or lost.
create or replace function close_run(p_run uuid, p_lease_no int, p_status text, p_reason text, p_output jsonb,
  p_error jsonb, p_spent jsonb, p_statement jsonb, p_notes jsonb, p_at timestamptz) returns text
language plpgsql as $$
declare parent uuid; is_told boolean;
begin
  if p_spent is not null then perform put_spent(p_run, p_lease_no, p_spent); end if;

  -- 1. The run's end.
  update runs set status = p_status, reason = p_reason, output = p_output, error = p_error, finished_at = p_at,
      lease_until = null
    where id = p_run and lease_no = p_lease_no and coalesce(status, '') = 'running'
      and (p_status = 'timed_out' or deadline_at > now())
    returning parent_id, told into parent, is_told;
  if not found then
    return case when exists (select from runs where lease_no = p_lease_no and id = p_run and coalesce(status, '') = 'running')
                then 'late' else 'lost' end;
  end if;

  -- 2. What was begun and is still open ends with it; an earlier attempt may have left it. Every call is a step.
  if exists (select from steps where run_id = p_run) then
    perform stop_runs(below.runs, 'cancelled', 'parent_ended', p_at) from (
      select array_agg(id) as runs from runs
        where parent_id = p_run and status in ('queued', 'running', 'awaiting_approval')) as below
      where below.runs is not null;
    perform discard_steps(array[p_run], p_at);
  end if;

  -- 3. The budgets, by id: the cost goes from reserved to spent. Nothing was reserved.

  -- 4. The steps that are not on record yet, and the parent's step that this call was.
  perform put_notes(p_run, p_lease_no, p_notes);
  if parent is not null then
    update steps set status = case p_status when 'succeeded' then 'succeeded' else 'failed' end, error = p_error,
        finished_at = p_at
      where child_id = p_run and status = 'running';
  end if;

  -- 5. The provenance: the signed statement and its leaf. No key signs runs yet, so it has no place to go.
  assert p_statement is null, 'a statement cannot be kept yet';

  -- 6. Who follows it is told last.
  if is_told then perform tell_status(array[p_run]); end if;
  return 'ours';
end $$;

-- Is the run still its execution's, and in time? Takes the notes along if so. Answers ours, late or lost.
create or replace function check_run(p_run uuid, p_lease_no int, p_notes jsonb) returns text
language plpgsql as $$
declare standing text;
begin
  select case when deadline_at > now() then 'ours' else 'late' end into standing from runs
    where id = p_run and lease_no = p_lease_no and coalesce(status, '') = 'running' for share;
  if standing = 'ours' then perform put_notes(p_run, p_lease_no, p_notes); end if;
  return coalesce(standing, 'lost');
end $$;

-- A step begins only while the run is its execution's and in time; who ends a run waits for us or we see it. What
-- was decided of it goes along, and counts if the org's policies and the tags are still the same. One with an error
-- is over: it was refused. Answers ours, late, lost or stale_policy.
create function begin_step(p_run uuid, p_lease_no int, p_step uuid, p_ordinal int, p_kind text, p_name text,
  p_input jsonb, p_error jsonb, p_bundle int, p_tags jsonb, p_decision jsonb, p_notes jsonb, p_at timestamptz)
returns text language plpgsql as $$
declare standing text;
begin
  if p_bundle is not null and is_stale(p_bundle, p_tags) then return 'stale_policy'; end if;
  standing := check_run(p_run, p_lease_no, p_notes);
  if standing = 'ours' then
    insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, error, started_at, finished_at)
      values (p_step, p_run, p_lease_no, p_ordinal, p_kind, p_name, case when p_error is null then 'running' else 'failed' end,
        p_input, p_error, p_at, case when p_error is not null then p_at end);
    perform put_decision(p_run, p_ordinal, p_decision, p_at);
  end if;
  return standing;
end $$;

-- The end of a step, and what its attempt has spent until now. lost: the run is no longer its execution's, and
-- the result is discarded, not what it cost; late: the result is on record, and nothing may follow it. One that ended
-- well and has a key is given to another attempt that makes the same call; a host that answered well is known.
create function end_step(p_run uuid, p_lease_no int, p_step uuid, p_status text, p_output jsonb, p_error jsonb,
  p_call_key text, p_sealed boolean, p_host text, p_spent jsonb, p_at timestamptz) returns text
language plpgsql as $$
declare standing text; ours boolean;
begin
  if p_spent is not null then perform put_spent(p_run, p_lease_no, p_spent); end if;
  select case when deadline_at > now() then 'ours' else 'late' end into standing from runs
    where id = p_run and lease_no = p_lease_no and coalesce(status, '') = 'running' for share;
  ours := standing is not null;
  update steps set status = case when ours then p_status else 'discarded' end,
      output = case when ours then p_output end, error = case when ours then p_error end, finished_at = p_at,
      call_key = case when ours and p_status = 'succeeded' then p_call_key else '' end,
      is_sealed = ours and p_status = 'succeeded' and p_sealed
    where id = p_step and status = 'running';
  if p_host is not null and p_status = 'succeeded' then
    insert into known_hosts (id, host, first_at) values (gen_random_uuid(), p_host, p_at) on conflict (host) do nothing;
  end if;
  return coalesce(standing, 'lost');
end $$;

-- How often people may be asked in the middle of one run.
create function question_limit() returns int language sql immutable as 'select 100';

-- A call in the middle of a run that a person has to agree to: nothing waits for that in a thread. The whole tree
-- goes back to waiting, the root without a lease, and is carried out once more when somebody has agreed. Whoever
-- carries it out now is fenced off, here and below. A run that comes to new questions without end is let go on
-- with none: then nothing is written, and the notes go with what the run does instead. Answers ours, late, lost,
-- stale_policy or often.
create function suspend_run(p_run uuid, p_lease_no int, p_step uuid, p_ordinal int, p_kind text,
  p_name text, p_input jsonb, p_bundle int, p_tags jsonb, p_decision jsonb, p_spent jsonb, p_notes jsonb,
  p_at timestamptz)
returns text language plpgsql as $$
declare standing text; root uuid; tree uuid[];
begin
  if is_stale(p_bundle, p_tags) then return 'stale_policy'; end if;
  select root_id into root from runs where id = p_run;
  tree := lock_open(array[root]);
  if (select resumed from runs where id = root) >= question_limit() then return 'often'; end if;
  standing := check_run(p_run, p_lease_no, p_notes);
  if standing <> 'ours' then return standing; end if;
  if p_spent is not null then perform put_spent(p_run, p_lease_no, p_spent); end if;
  insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, error, started_at, finished_at)
    values (p_step, p_run, p_lease_no, p_ordinal, p_kind, p_name, 'discarded', p_input,
      jsonb_build_object('code', 'awaiting_approval'), p_at, p_at);
  perform put_decision(p_run, p_ordinal, p_decision, p_at);
  update runs set status = 'awaiting_approval', lease_until = null, deadline_at = null, resumed = resumed + 1,
      lease_no = lease_no + case when id = root then 0 else 1 end, told = told or id = root
    where id = any(tree) and status = 'running';
  perform discard_steps(tree, p_at);
  return 'ours';
end $$;

-- Somebody has agreed: the run waits for a worker. It is looked at again as at its admission: the agent must be
-- active, and be what it was if nothing has been done yet; an agent that asked with its own key must be active and
-- hold its grant. Answers queued, gone, stale_policy or what is in its way.
create function resume_run(p_run uuid, p_approval uuid, p_bundle int, p_tags jsonb, p_decision jsonb, p_at timestamptz)
returns text
language plpgsql as $$
declare gate record; mine record;
begin
  select r.agent_id, r.manifest_id, r.lease_no, r.tool,
      case when r.caller_type = 'agent' then right(r.caller_id, 32)::uuid end as calling
    into mine from runs r where r.id = p_run;
  perform from agents a where a.id in (mine.agent_id, mine.calling) order by a.id for key share;
  select a.status, a.manifest_id into gate from agents a where a.id = mine.agent_id;
  if is_stale(p_bundle, p_tags) then return 'stale_policy'; end if;
  perform from runs r
    where r.id = p_run and coalesce(r.status, '') = 'awaiting_approval' and r.approval_id = p_approval for no key update;
  if not found then return 'gone'; end if;
  if gate.status <> 'active' then return 'agent_' || gate.status; end if;
  if mine.calling is not null and not exists (select from agents a where a.id = mine.calling and a.status = 'active') then
    return 'caller_stopped';
  end if;
  if mine.calling is not null and not exists (
      select from grants g where g.caller_id = mine.calling and g.callee_id = mine.agent_id and g.active
        and (g.expires_at is null or g.expires_at > now()) and (g.tools ? '*' or g.tools ? mine.tool)) then
    return 'no_grant';
  end if;
  if mine.lease_no = 0 and gate.manifest_id <> mine.manifest_id then return 'approval_manifest_changed'; end if;
  perform put_decision(p_run, null, p_decision, p_at);
  update runs set status = 'queued' where id = p_run;
  return 'queued';
end $$;

-- Nobody has agreed, or what was agreed to is no more: the run is refused, and what waits below it ends with it.
-- Answers whether it still waited.
create function deny_run(p_run uuid, p_approval uuid, p_reason text, p_decision jsonb, p_at timestamptz) returns boolean
language plpgsql as $$
declare tree uuid[] := lock_open(array[p_run]);
begin
  update runs set status = 'denied', reason = p_reason, finished_at = p_at
    where id = p_run and coalesce(status, '') = 'awaiting_approval' and approval_id = p_approval;
  if not found then return false; end if;
  perform put_decision(p_run, null, p_decision, p_at);
  update runs set status = 'cancelled', reason = 'parent_ended', finished_at = p_at
    where id = any(tree) and id <> p_run;
  perform tell_status(array_remove(tree, p_run));
  perform tell_status(array[p_run]);
  return true;
end $$;

-- The reaper: an execution that stopped saying that it lives loses its run. It is queued again or, out of
-- tries, fails; one that is out of time is over, alive or not. Only roots have leases: what is below one lives
-- and dies with its execution, and the next attempt takes it over. A child is reaped by itself when its own
-- time is up, or when its parent is over. One run and what is below it a call, so that the locks of two trees
-- are never mixed. An attempt that ended because a person had to be asked was no try.
create or replace function reap_run(p_tries int, p_grace interval, p_at timestamptz, out run_id uuid, out verdict text)
language plpgsql as $$
#variable_conflict use_column
declare lost record; tree uuid[];
begin
  select r.id, case when r.parent_id is not null and p.finished_at is not null then 'cancelled'
                    when r.deadline_at < now() then 'timed_out'
                    when r.lease_no - r.resumed >= p_tries then 'failed' else 'queued' end as verdict
    into lost from runs r left join runs p on p.id = r.parent_id
    where r.status = 'running' and (r.deadline_at < now() - p_grace or p.finished_at is not null
      or r.parent_id is null and r.lease_until < now())
    order by cardinality(r.lineage), r.id limit 1 for no key update of r skip locked;
  if not found then return; end if;
  run_id := lost.id;
  verdict := lost.verdict;
  if verdict <> 'queued' then
    perform stop_runs(array[lost.id], verdict, case verdict when 'failed' then 'lost' when 'cancelled' then 'parent_ended'
                                                            else 'deadline' end, p_at);
    return;
  end if;
  tree := lock_open(array[lost.id]);
  update runs set status = 'queued', lease_until = null, deadline_at = null where id = lost.id;
  -- Whoever still carries out what is below is fenced off; it has its own time to be taken over.
  update runs set lease_no = lease_no + 1, deadline_at = now() + make_interval(secs => timeout_seconds)
    where id = any(tree) and status = 'running';
  perform discard_steps(tree, p_at);
end $$;

-- The machine of a run's states (apps/runs/states.py, MOVES), which outlives any code.
create or replace function guard_run_moves() returns trigger language plpgsql as $$
begin
  if (old.status || ' ' || new.status) not in (
      'queued running', 'queued cancelled', 'running succeeded', 'running failed', 'running timed_out',
      'running cancelled', 'running queued', 'running awaiting_approval', 'awaiting_approval queued',
      'awaiting_approval running', 'awaiting_approval denied', 'awaiting_approval cancelled') then
    raise exception 'a run cannot move from % to %', old.status, new.status using errcode = 'check_violation';
  end if;
  return new;
end $$;
