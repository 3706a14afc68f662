-- The life of a run, inside Postgres: each function is one call and one commit.
--
-- Outcomes are data and never exceptions, so that a refusal is recorded by the statement that refuses.
-- Every function works under the caller's rights and keys; each schema has its own, so that their
-- cached plans survive a change of search_path. Only apps/runs/spine.py calls them.
--
-- Lock order, everywhere: agent, then runs from the root to the leaf (by depth, then id), then steps.

-- How many agents a call may pass through.
create function depth_limit() returns int language sql immutable as 'select 8';

-- What an execution has gathered since it last spoke to the database: log lines, and steps of its own
-- that are over already. The ids are the caller's, so that a repeated call is refused by them.
create function put_notes(p_run uuid, p_attempt int, p_notes jsonb) returns void
language plpgsql as $$
begin
  if p_notes is null then return; end if;
  insert into run_logs (id, run_id, attempt, at, level, message, fields)
    select n.id, p_run, p_attempt, n.at, n.level, n.message, n.fields
    from jsonb_to_recordset(p_notes -> 'logs') as n(id uuid, at timestamptz, level text, message text, fields jsonb);
  insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, error, started_at, finished_at)
    select n.id, p_run, p_attempt, n.ordinal, 'work', n.name, n.status, n.input, n.error, n.started_at, n.finished_at
    from jsonb_to_recordset(p_notes -> 'steps') as n(id uuid, ordinal int, name text, status text, input jsonb,
      error jsonb, started_at timestamptz, finished_at timestamptz);
end $$;

-- Admission. The agent's row decides whether it may work; whoever stops it locks that row FOR UPDATE,
-- so it waits for us or we see it. A parent must be running under the lease that its execution holds,
-- and stays so until we commit: a cancellation finds this child or comes before it.
create function admit(
  p_run uuid, p_agent uuid, p_manifest uuid, p_project uuid, p_tool text, p_title text, p_mode text,
  p_input jsonb, p_timeout int, p_caller_type text, p_caller_id text, p_caller_label text,
  p_principal text, p_key text, p_fingerprint bytea, p_refusal text,
  p_parent uuid, p_parent_lease int, p_step uuid, p_step_name text, p_ordinal int, p_notes jsonb,
  p_lease interval, p_at timestamptz,
  out outcome text, out run_id uuid, out lease_no int, out status text, out reason text,
  out root_id uuid, out lineage uuid[], out deadline_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
  gate record; up record; known record; refusal text := p_refusal;
  project uuid := p_project; deadline timestamptz := now() + make_interval(secs => p_timeout);
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

  -- 1. The agent as it is now.
  select a.status, a.manifest_id into gate from agents a where a.id = p_agent for key share;
  if not found then outcome := 'no_agent'; return; end if;
  if gate.manifest_id is distinct from p_manifest then outcome := 'stale_manifest'; return; end if;
  if gate.status <> 'active' then refusal := 'agent_' || gate.status; end if;
  root_id := p_run;
  lineage := array_remove(array[calling], null) || p_agent;

  -- 2. The parent, whose lineage is the server's and never the caller's word.
  if p_parent is not null then
    select r.root_id, r.lineage, r.agent_id, r.project_id, r.deadline_at into up from runs r
      where r.id = p_parent and r.lease_no = p_parent_lease and r.status = 'running' for share;
    outcome := case when not found then 'fenced' when p_agent = any(up.lineage) then 'cycle'
                    when cardinality(up.lineage) >= depth_limit() then 'too_deep' end;
    if outcome is not null then return; end if;
    calling := up.agent_id;
    root_id := up.root_id;
    lineage := up.lineage || p_agent;
    project := up.project_id;
    deadline := least(deadline, up.deadline_at);
  end if;
  if calling is not null and not exists (
      select from grants g where g.caller_id = calling and g.callee_id = p_agent and g.active
        and (g.expires_at is null or g.expires_at > now()) and (g.tools ? '*' or g.tools ? p_tool)) then
    refusal := coalesce(refusal, 'no_grant');
  end if;

  loop
    -- 3. The key: what it already stands for is answered, whatever has become of the agent since.
    if p_key is not null then
      select r.id, r.fingerprint, r.status, r.mode into known from runs r
        where r.principal = p_principal and r.idempotency_key = p_key and r.status <> 'denied';
      if found then
        run_id := known.id;
        status := known.status;
        if known.fingerprint <> p_fingerprint then
          outcome := 'other_body';
        elsif known.status <> 'running' or known.mode = 'async' then
          outcome := case when known.status = 'queued' and known.mode = 'sync' then 'in_flight' else 'replay' end;
        elsif p_parent is null then
          outcome := 'in_flight';
        else
          -- An earlier attempt of our parent left it unfinished: it is ours now, and that one's no longer.
          update runs r set lease_no = r.lease_no + 1, deadline_at = deadline
            where r.id = known.id and r.status = 'running' returning r.lease_no into lease_no;
          continue when not found;
          outcome := 'admitted';
        end if;
        exit;
      end if;
    end if;

    -- 4. The record, of a refusal too.
    status := case when refusal is not null then 'denied' when p_mode = 'async' then 'queued' else 'running' end;
    lease_no := case status when 'running' then 1 else 0 end;
    insert into runs (id, agent_id, manifest_id, project_id, tool, title, status, reason, mode, environment, input,
        cost_micros, parent_id, root_id, lineage, caller_type, caller_id, caller_label, principal, idempotency_key,
        fingerprint, lease_no, lease_until, timeout_seconds, deadline_at, created_at, started_at, finished_at)
      values (p_run, p_agent, p_manifest, project, p_tool, p_title, status, coalesce(refusal, ''), p_mode, 'live', p_input,
        0, p_parent, root_id, lineage, p_caller_type, p_caller_id, p_caller_label, p_principal, p_key,
        p_fingerprint, lease_no, case when lease_no = 1 and p_parent is null then now() + p_lease end, p_timeout,
        case when lease_no = 1 then deadline end, p_at, case when lease_no = 1 then p_at end,
        case when refusal is not null then p_at end)
      on conflict (principal, idempotency_key) where idempotency_key is not null and status <> 'denied' do nothing;
    if found then
      run_id := p_run;
      outcome := case when refusal is null then 'admitted' else 'denied' end;
      reason := refusal;
      exit;
    end if;                                     -- somebody claimed the key since we looked: look again
  end loop;

  -- 5. The call as a step of the parent.
  if p_parent is not null and outcome <> 'other_body' then
    perform put_notes(p_parent, p_parent_lease, p_notes);
    insert into steps (id, run_id, attempt, ordinal, kind, name, status, error, child_id, started_at, finished_at)
      values (p_step, p_parent, p_parent_lease, p_ordinal, 'agent_call', p_step_name,
        case when outcome = 'admitted' then 'running' when status = 'succeeded' then 'succeeded' else 'failed' end,
        case when outcome = 'denied' then jsonb_build_object('code', reason) end, run_id, p_at,
        case when outcome <> 'admitted' then p_at end);
  end if;
  deadline_at := deadline;
end $$;

-- Settlement. Fenced: a run that was cancelled, reaped or taken over has another state or lease number,
-- and then nothing happens at all.
create function close_run(p_run uuid, p_lease_no int, p_status text, p_reason text, p_output jsonb, p_error jsonb,
  p_cost bigint, p_notes jsonb, p_at timestamptz) returns boolean
language plpgsql as $$
declare parent uuid;
begin
  update runs set status = p_status, reason = p_reason, output = p_output, error = p_error, cost_micros = p_cost,
      finished_at = p_at, lease_until = null
    where id = p_run and lease_no = p_lease_no and status = 'running' returning parent_id into parent;
  if not found then return false; end if;
  perform put_notes(p_run, p_lease_no, p_notes);
  if parent is not null then
    update steps set status = case p_status when 'succeeded' then 'succeeded' else 'failed' end, error = p_error,
        finished_at = p_at
      where child_id = p_run and status = 'running';
  end if;
  return true;
end $$;

-- A step begins only while the run is its execution's and in time; who ends a run waits for us or we see it.
create function begin_step(p_run uuid, p_lease_no int, p_step uuid, p_ordinal int, p_kind text, p_name text,
  p_input jsonb, p_notes jsonb, p_at timestamptz) returns boolean
language plpgsql as $$
begin
  perform from runs
    where id = p_run and lease_no = p_lease_no and status = 'running' and deadline_at > now() for share;
  if not found then return false; end if;
  perform put_notes(p_run, p_lease_no, p_notes);
  insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, started_at)
    values (p_step, p_run, p_lease_no, p_ordinal, p_kind, p_name, 'running', p_input, p_at);
  return true;
end $$;

-- The end of a step; false means that the run is no longer its execution's and the result is discarded.
create function end_step(p_run uuid, p_lease_no int, p_step uuid, p_status text, p_output jsonb, p_error jsonb,
  p_at timestamptz) returns boolean
language plpgsql as $$
declare ours boolean;
begin
  perform from runs where id = p_run and lease_no = p_lease_no and status = 'running' for share;
  ours := found;
  update steps set status = case when ours then p_status else 'discarded' end,
      output = case when ours then p_output end, error = case when ours then p_error end, finished_at = p_at
    where id = p_step and status = 'running';
  return ours;
end $$;

-- Is the run still its execution's? Takes the notes along.
create function check_run(p_run uuid, p_lease_no int, p_notes jsonb) returns boolean
language plpgsql as $$
begin
  perform from runs
    where id = p_run and lease_no = p_lease_no and status = 'running' and deadline_at > now() for share;
  if not found then return false; end if;
  perform put_notes(p_run, p_lease_no, p_notes);
  return true;
end $$;

-- A worker takes the oldest queued run.
create function claim_run(p_lease interval, p_at timestamptz, out run_id uuid, out lease_no int, out deadline_at timestamptz)
language sql as $$
  update runs r set status = 'running', lease_no = r.lease_no + 1, lease_until = now() + p_lease,
      deadline_at = now() + make_interval(secs => r.timeout_seconds), started_at = coalesce(r.started_at, p_at)
    where r.id = (select q.id from runs q where q.status = 'queued' order by q.created_at, q.id limit 1
                  for update skip locked)
    returning r.id, r.lease_no, r.deadline_at
$$;

-- Executions that are alive say so; the answer leaves out those that are no longer theirs.
create function renew_leases(p_runs uuid[], p_lease_nos int[], p_lease interval) returns setof uuid
language sql as $$
  update runs r set lease_until = now() + p_lease
    from unnest(p_runs, p_lease_nos) as held(id, lease_no)
    where r.id = held.id and r.lease_no = held.lease_no and r.status = 'running' returning r.id
$$;

-- End open runs and every open run below them, from the roots to the leaves. A level is read after the
-- one above it is locked, so a child that was being admitted is found, and no other one can be.
create function stop_runs(p_runs uuid[], p_status text, p_reason text, p_at timestamptz) returns setof uuid
language plpgsql as $$
declare roots uuid[]; level uuid[]; stopped uuid[] := '{}';
begin
  select array_agg(distinct root_id) into roots from runs where id = any(p_runs);
  for depth in 1..depth_limit() loop
    with locked as materialized (
      select id from runs
        where root_id = any(roots) and status in ('queued', 'running') and cardinality(lineage) = depth
          and (id = any(p_runs) or parent_id = any(stopped))
        order by id for no key update),
    ended as (
      update runs r set status = case r.status when 'queued' then 'cancelled' else p_status end, reason = p_reason,
          finished_at = p_at, lease_until = null
        from locked where r.id = locked.id and r.status in ('queued', 'running') returning r.id)
    select array_agg(id) into level from ended;
    stopped := stopped || coalesce(level, '{}');
  end loop;
  update steps set status = 'discarded', finished_at = p_at where run_id = any(stopped) and status = 'running';
  return query select unnest(stopped);
end $$;

-- The reaper: an execution that stopped saying that it lives loses its run. It is queued again or, out of
-- tries, fails; one that is out of time is over, alive or not. Only roots have leases: what is below one
-- lives and dies with its execution, and the next attempt takes it over.
create function reap_runs(p_tries int, p_grace interval, p_limit int, p_at timestamptz)
returns table (run_id uuid, verdict text) language plpgsql as $$
#variable_conflict use_column
declare lost record;
begin
  for lost in
    select r.id, r.lease_no, r.deadline_at < now() as late from runs r
      where r.status = 'running' and r.parent_id is null
        and (r.lease_until < now() or r.deadline_at < now() - p_grace)
      order by r.id limit p_limit for no key update skip locked
  loop
    run_id := lost.id;
    verdict := case when lost.late then 'timed_out' when lost.lease_no >= p_tries then 'failed' else 'queued' end;
    if verdict = 'queued' then
      update runs set status = 'queued', lease_until = null, deadline_at = null where id = lost.id;
      update runs set lease_no = lease_no + 1 where root_id = lost.id and status = 'running';
      update steps set status = 'discarded', finished_at = p_at
        where status = 'running' and run_id in (select id from runs where root_id = lost.id);
    else
      perform stop_runs(array[lost.id], verdict, case verdict when 'failed' then 'lost' else 'deadline' end, p_at);
    end if;
    return next;
  end loop;
end $$;

-- The machine of a run's states (apps/runs/states.py, MOVES), which outlives any code.
create function guard_run_moves() returns trigger language plpgsql as $$
begin
  if (old.status || ' ' || new.status) not in (
      'queued running', 'queued cancelled', 'running succeeded', 'running failed', 'running timed_out',
      'running cancelled', 'running queued') then
    raise exception 'a run cannot move from % to %', old.status, new.status using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger run_moves before update of status on runs
  for each row when (old.status is distinct from new.status) execute function guard_run_moves();

-- A run is written twice; the second time finds room beside the first.
alter table runs set (fillfactor = 70);
