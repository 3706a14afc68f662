-- The life of a run, inside Postgres: each function is one call and one commit.
--
-- Outcomes are data and never exceptions, so that a refusal is recorded by the statement that refuses.
-- Every function works under the caller's rights and keys; each schema has its own, so that their
-- cached plans survive a change of search_path. Only apps/runs/spine.py calls them.
--
-- Lock order, everywhere: agent, then runs from the root to the leaf (by depth, then id), then the
-- idempotency key, then budgets by id. A step is written under the lock of its run or of the run that it
-- calls, so it comes anywhere after them. What only takes locks that are free (skip locked) waits for nobody.

-- How many agents a call may pass through.
create function depth_limit() returns int language sql immutable as 'select 8';

-- Events: what those who follow a run are told. An event takes the number after the last one that is to be
-- seen; who finds it taken has waited for that commit and takes the next. So numbers have no gap, and nobody
-- sees one before all lower ones: whoever has read up to one has read everything before it.
create function tell(p_run uuid, p_kind text, p_data jsonb) returns void
language plpgsql as $$
begin
  loop
    insert into run_events (id, run_id, seq, kind, data, at)
      select gen_random_uuid(), p_run, coalesce(max(e.seq), 0) + 1, p_kind, p_data, clock_timestamp()
      from run_events e where e.run_id = p_run
      on conflict (run_id, seq) do nothing;
    exit when found;
  end loop;
  perform pg_notify('run_events', p_run::text);
end $$;

-- What has become of runs, for those of them that are told. An end is told after all else that ends with it.
create function tell_status(p_runs uuid[]) returns void language sql as $$
  select tell(r.id, 'status', jsonb_build_object('status', r.status, 'reason', nullif(r.reason, ''), 'attempt', r.lease_no))
    from (select id, status, reason, lease_no from runs where id = any(p_runs) and told order by id) as r
$$;

-- From now on what happens in an open run is told; until now nobody has asked.
create function watch_run(p_run uuid) returns void language plpgsql as $$
begin
  update runs set told = true where id = p_run and not told and finished_at is null;
  if found then perform tell_status(array[p_run]); end if;
end $$;

-- What an execution has gathered since it last spoke to the database: text of an answer under way, log lines,
-- and steps of its own that are over already. The ids are the caller's, so that a repeated call is refused by them.
create function put_notes(p_run uuid, p_attempt int, p_notes jsonb) returns void
language plpgsql as $$
begin
  if p_notes is null then return; end if;
  if p_notes ->> 'delta' <> '' then
    perform tell(p_run, 'delta', jsonb_build_object('attempt', p_attempt, 'text', p_notes ->> 'delta'));
  end if;
  insert into run_logs (id, run_id, attempt, at, level, message, fields)
    select n.id, p_run, p_attempt, n.at, n.level, n.message, n.fields
    from jsonb_to_recordset(p_notes -> 'logs') as n(id uuid, at timestamptz, level text, message text, fields jsonb);
  insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, error, started_at, finished_at)
    select n.id, p_run, p_attempt, n.ordinal, n.kind, n.name, n.status, n.input, n.error, n.started_at, n.finished_at
    from jsonb_to_recordset(p_notes -> 'steps') as n(id uuid, ordinal int, kind text, name text, status text,
      input jsonb, error jsonb, started_at timestamptz, finished_at timestamptz);
end $$;

-- What an attempt has spent on models until now is a fact, whatever has become of its run: the sum stands beside
-- those of the other attempts, and the run's cost and usage are those of all. So it may come after an end from
-- outside, after another attempt has begun, or twice. Nothing else of the run is touched. The budgets' part comes
-- here when there are any: what arrives late was spent all the same.
create function put_spent(p_run uuid, p_attempt int, p_spent jsonb) returns void
language plpgsql as $$
declare attempts jsonb;
begin
  select coalesce(r.spent, '{}') || jsonb_build_object(p_attempt::text, p_spent) into attempts
    from runs r where r.id = p_run for no key update;
  update runs r set spent = attempts, cost_micros = s.cost, usage = s.usage
    from (
      select ceil(sum(a.cost_micros)) as cost, jsonb_build_object('requests', sum(a.requests),
          'input_tokens', sum(a.input_tokens), 'output_tokens', sum(a.output_tokens)) as usage
        from jsonb_each(attempts) as e(attempt, said), jsonb_to_record(e.said)
          as a(requests bigint, input_tokens bigint, output_tokens bigint, cost_micros numeric)) as s
    where r.id = p_run;
end $$;

-- What a key stands for: its run, and how a request with this fingerprint is answered.
create function keyed_run(p_principal text, p_key text, p_fingerprint bytea)
returns table (run_id uuid, status text, outcome text) language sql stable as $$
  select r.id, r.status::text, case when r.fingerprint <> p_fingerprint then 'other_body'
      when r.mode = 'sync' and r.status in ('queued', 'running') then 'in_flight' else 'replay' end
    from runs r where r.principal = p_principal and r.idempotency_key = p_key and r.status <> 'denied'
$$;

-- The open runs among these and all open runs below them, locked from the roots to the leaves. A level is
-- read after the one above it is locked, so a child that was being admitted is found, and no other can be.
create function lock_open(p_runs uuid[]) returns uuid[]
language plpgsql as $$
declare roots uuid[]; level uuid[]; locked uuid[] := '{}';
begin
  select array_agg(distinct root_id) into roots from runs where id = any(p_runs);
  for depth in 1..depth_limit() loop
    select array_agg(o.id) into level from (
      select id from runs
        where root_id = any(roots) and status in ('queued', 'running') and cardinality(lineage) = depth
          and (id = any(p_runs) or parent_id = any(locked))
        order by id for no key update) as o;
    locked := locked || coalesce(level, '{}');
  end loop;
  return locked;
end $$;

-- Admission. The agent's row decides whether it may work; whoever stops it locks that row FOR UPDATE,
-- so it waits for us or we see it. A parent must be running under the lease that its execution holds,
-- and stays so until we commit: a cancellation finds this child or comes before it.
create function admit(
  p_run uuid, p_agent uuid, p_manifest uuid, p_project uuid, p_tool text, p_title text, p_mode text,
  p_input jsonb, p_timeout int, p_caller_type text, p_caller_id text, p_caller_label text,
  p_principal text, p_key text, p_fingerprint bytea, p_refusal text, p_recalled boolean, p_scopes uuid[], p_price bigint,
  p_parent uuid, p_parent_lease int, p_step uuid, p_step_name text, p_ordinal int, p_notes jsonb,
  p_session text, p_lease interval, p_at timestamptz,
  out outcome text, out run_id uuid, out lease_no int, out status text, out reason text,
  out root_id uuid, out lineage uuid[], out deadline_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
  gate record; up record; known record; refusal text := p_refusal;
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
  if gate.status <> 'active' then refusal := 'agent_' || gate.status; end if;
  root_id := p_run;
  lineage := array_remove(array[calling], null) || p_agent;

  -- 2. The parent, whose lineage is the server's and never the caller's word.
  if p_parent is not null then
    select r.root_id, r.lineage, r.agent_id, r.project_id, r.session_id, r.deadline_at into up from runs r
      where r.id = p_parent and r.lease_no = p_parent_lease and r.status = 'running' for share;
    outcome := case when not found then 'fenced' when up.deadline_at <= now() then 'late'
                    when p_agent = any(up.lineage) then 'cycle'
                    when cardinality(up.lineage) >= depth_limit() then 'too_deep' end;
    if outcome is not null then return; end if;
    calling := up.agent_id;
    root_id := up.root_id;
    lineage := up.lineage || p_agent;
    project := up.project_id;
    session := up.session_id;
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
      select k.run_id, k.status, k.outcome into known from keyed_run(p_principal, p_key, p_fingerprint) as k;
      if found then
        run_id := known.run_id;
        status := known.status;
        outcome := known.outcome;
        if outcome = 'in_flight' and status = 'running' and p_parent is not null then
          -- An earlier attempt of our parent left it unfinished. The reaper has fenced that one off; it is ours now.
          update runs r set deadline_at = deadline
            where r.id = known.run_id and r.status = 'running' returning r.lease_no into lease_no;
          continue when not found;
          outcome := 'admitted';
        end if;
        exit;
      end if;
    end if;

    -- 4. The budgets, by id: the price is reserved in all scopes or in none. No budget exists yet, so a call that
    -- counts against one can't be let through; and what has no price is refused, not free. Whoever will have
    -- waited here has to look at the key again before saying that money is short: its run may be the first.
    refusal := coalesce(refusal, case when p_price is null then 'no_price'
                                      when cardinality(p_scopes) > 0 then 'no_budget' end);

    -- 5. The record, of a refusal too.
    status := case when refusal is not null then 'denied' when p_mode = 'async' then 'queued' else 'running' end;
    lease_no := case status when 'running' then 1 else 0 end;
    insert into runs (id, agent_id, manifest_id, project_id, tool, title, status, reason, mode, environment, input,
        cost_micros, parent_id, root_id, lineage, caller_type, caller_id, caller_label, principal, idempotency_key,
        fingerprint, session_id, lease_no, lease_until, timeout_seconds, deadline_at, created_at, started_at,
        finished_at, told)
      values (p_run, p_agent, p_manifest, project, p_tool, p_title, status, coalesce(refusal, ''), p_mode, 'live', p_input,
        0, p_parent, root_id, lineage, p_caller_type, p_caller_id, p_caller_label, p_principal, p_key,
        p_fingerprint, session, lease_no, case when lease_no = 1 and p_parent is null then now() + p_lease end, p_timeout,
        case when lease_no = 1 then deadline end, p_at, case when lease_no = 1 then p_at end,
        case when refusal is not null then p_at end, p_mode = 'async')
      on conflict (principal, idempotency_key) where idempotency_key is not null and status <> 'denied' do nothing;
    if found then
      run_id := p_run;
      outcome := case when refusal is null then 'admitted' when refusal = 'no_budget' then refusal else 'denied' end;
      reason := refusal;
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

-- What was said in a run's session before it, the oldest first: input and output of the newest p_turns runs of
-- the same tool of the same agent. Only what had succeeded when this run was asked for, so that every attempt is
-- given the same. Only what the same caller asked, in runs that the same one's call began: a session's name is a
-- client's own word, and what somebody else said under it is not told. Where they would have more than p_size
-- characters in all, the oldest are left out.
create function turns_before(p_run uuid, p_turns int, p_size int) returns table (input text, output text)
language plpgsql stable as $$
#variable_conflict use_column
declare me record;
begin
  select r.session_id, r.agent_id, r.tool, r.caller_type, r.caller_id, r.created_at,
      root.caller_type as root_type, root.caller_id as root_caller
    into me from runs r join runs root on root.id = r.root_id where r.id = p_run;
  return query select kept.input, kept.output from (
    select t.*, sum(length(t.input) + length(t.output)) over (order by t.created_at desc, t.id desc) as size
      from (
        select r.id, r.created_at, r.input::text, r.output::text from runs r join runs root on root.id = r.root_id
          where r.session_id = me.session_id and r.agent_id = me.agent_id and r.caller_id = me.caller_id
            and r.caller_type = me.caller_type and r.tool = me.tool and r.status = 'succeeded'
            and r.finished_at < me.created_at and r.created_at < me.created_at
            and root.caller_type = me.root_type and root.caller_id = me.root_caller
          order by r.created_at desc, r.id desc limit p_turns) as t) as kept
    where kept.size <= p_size order by kept.created_at, kept.id;
end $$;

-- What becomes of steps whose run is over, or is another execution's: nobody will end them.
create function discard_steps(p_runs uuid[], p_at timestamptz) returns void
language plpgsql as $$
begin
  update steps set status = 'discarded', finished_at = p_at where run_id = any(p_runs) and status = 'running';
end $$;

-- End open runs and every open run below them. One that nobody carries out just now is cancelled.
create function stop_runs(p_runs uuid[], p_status text, p_reason text, p_at timestamptz) returns setof uuid
language plpgsql as $$
declare stopped uuid[] := lock_open(p_runs);
begin
  update runs set status = case status when 'queued' then 'cancelled' else p_status end, reason = p_reason,
      finished_at = p_at, lease_until = null
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
create function close_run(p_run uuid, p_lease_no int, p_status text, p_reason text, p_output jsonb, p_error jsonb,
  p_spent jsonb, p_statement jsonb, p_notes jsonb, p_at timestamptz) returns text
language plpgsql as $$
declare parent uuid; is_told boolean;
begin
  if p_spent is not null then perform put_spent(p_run, p_lease_no, p_spent); end if;

  -- 1. The run's end.
  update runs set status = p_status, reason = p_reason, output = p_output, error = p_error, finished_at = p_at,
      lease_until = null
    where id = p_run and lease_no = p_lease_no and status = 'running' and (p_status = 'timed_out' or deadline_at > now())
    returning parent_id, told into parent, is_told;
  if not found then
    return case when exists (select from runs where lease_no = p_lease_no and id = p_run and status = 'running')
                then 'late' else 'lost' end;
  end if;

  -- 2. What was begun and is still open ends with it; an earlier attempt may have left it. Every call is a step.
  if exists (select from steps where run_id = p_run) then
    perform stop_runs(below.runs, 'cancelled', 'parent_ended', p_at) from (
      select array_agg(id) as runs from runs where parent_id = p_run and status in ('queued', 'running')) as below
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

-- A step begins only while the run is its execution's and in time; who ends a run waits for us or we see it.
-- Answers ours, late or lost.
create function begin_step(p_run uuid, p_lease_no int, p_step uuid, p_ordinal int, p_kind text, p_name text,
  p_input jsonb, p_notes jsonb, p_at timestamptz) returns text
language plpgsql as $$
declare standing text := check_run(p_run, p_lease_no, p_notes);
begin
  if standing = 'ours' then
    insert into steps (id, run_id, attempt, ordinal, kind, name, status, input, started_at)
      values (p_step, p_run, p_lease_no, p_ordinal, p_kind, p_name, 'running', p_input, p_at);
  end if;
  return standing;
end $$;

-- The end of a step, and what its attempt has spent until now. lost: the run is no longer its execution's, and
-- the result is discarded, not what it cost; late: the result is on record, and nothing may follow it.
create function end_step(p_run uuid, p_lease_no int, p_step uuid, p_status text, p_output jsonb, p_error jsonb,
  p_spent jsonb, p_at timestamptz) returns text
language plpgsql as $$
declare standing text; ours boolean;
begin
  if p_spent is not null then perform put_spent(p_run, p_lease_no, p_spent); end if;
  select case when deadline_at > now() then 'ours' else 'late' end into standing from runs
    where id = p_run and lease_no = p_lease_no and status = 'running' for share;
  ours := standing is not null;
  update steps set status = case when ours then p_status else 'discarded' end,
      output = case when ours then p_output end, error = case when ours then p_error end, finished_at = p_at
    where id = p_step and status = 'running';
  return coalesce(standing, 'lost');
end $$;

-- Is the run still its execution's, and in time? Takes the notes along if so. Answers ours, late or lost.
create function check_run(p_run uuid, p_lease_no int, p_notes jsonb) returns text
language plpgsql as $$
declare standing text;
begin
  select case when deadline_at > now() then 'ours' else 'late' end into standing from runs
    where id = p_run and lease_no = p_lease_no and status = 'running' for share;
  if standing = 'ours' then perform put_notes(p_run, p_lease_no, p_notes); end if;
  return coalesce(standing, 'lost');
end $$;

-- A worker takes the oldest queued run of an agent that is active: whoever stops an agent locks its row
-- FOR UPDATE, so it waits for us or its runs wait. Runs of an agent that isn't active stay queued.
create function claim_run(p_lease interval, p_at timestamptz, out run_id uuid, out lease_no int, out deadline_at timestamptz)
language sql as $$
  with next as materialized (
    select q.id from runs q join agents a on a.id = q.agent_id
      where q.status = 'queued' and a.status = 'active'
      order by q.created_at, q.id limit 1
      for key share of a skip locked for no key update of q skip locked)
  update runs r set status = 'running', lease_no = r.lease_no + 1, lease_until = now() + p_lease,
      deadline_at = now() + make_interval(secs => r.timeout_seconds), started_at = coalesce(r.started_at, p_at)
    from next where r.id = next.id returning r.id, r.lease_no, r.deadline_at
$$;

-- Executions that are alive say so; the answer leaves out those that are no longer theirs.
create function renew_leases(p_runs uuid[], p_lease_nos int[], p_lease interval) returns setof uuid
language sql as $$
  with ours as materialized (
    select r.id from runs r join unnest(p_runs, p_lease_nos) as held(id, lease_no) using (id, lease_no)
      where r.status = 'running' order by r.id for no key update of r)
  update runs r set lease_until = now() + p_lease from ours where r.id = ours.id returning r.id
$$;

-- The reaper: an execution that stopped saying that it lives loses its run. It is queued again or, out of
-- tries, fails; one that is out of time is over, alive or not. Only roots have leases: what is below one lives
-- and dies with its execution, and the next attempt takes it over. A child is reaped by itself when its own
-- time is up, or when its parent is over. One run and what is below it a call, so that the locks of two trees
-- are never mixed.
create function reap_run(p_tries int, p_grace interval, p_at timestamptz, out run_id uuid, out verdict text)
language plpgsql as $$
#variable_conflict use_column
declare lost record; tree uuid[];
begin
  select r.id, case when r.parent_id is not null and p.finished_at is not null then 'cancelled'
                    when r.deadline_at < now() then 'timed_out'
                    when r.lease_no >= p_tries then 'failed' else 'queued' end as verdict
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

-- Keys are forgotten a batch a call, the oldest first; the runs stay. How many that were. A child's key is by what
-- another attempt of its parent is given what it did, so it is kept until nothing above it can be carried out again.
create function forget_keys(p_before timestamptz, p_limit int) returns int
language plpgsql as $$
declare forgotten int;
begin
  with old as materialized (
    select id from runs where idempotency_key is not null and created_at < p_before and finished_at is not null
        and (parent_id is null or exists (select from runs t where t.id = runs.root_id and t.finished_at is not null))
      order by created_at limit p_limit for no key update skip locked)
  update runs r set idempotency_key = null from old where r.id = old.id;
  get diagnostics forgotten = row_count;
  return forgotten;
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

-- What happens in a run that is told, as its events.
create function tell_move() returns trigger language plpgsql as $$
begin
  perform tell_status(array[new.id]);
  return null;
end $$;
create trigger run_told after insert on runs
  for each row when (new.told and new.finished_at is null) execute function tell_move();
create trigger run_move_told after update of status on runs
  for each row when (new.told and new.finished_at is null) execute function tell_move();

create function tell_step() returns trigger language plpgsql as $$
begin
  if exists (select from runs where id = new.run_id and told) then
    perform tell(new.run_id, 'step', jsonb_build_object('id', 'stp_' || replace(new.id::text, '-', ''),
      'attempt', new.attempt, 'ordinal', new.ordinal, 'kind', new.kind, 'name', new.name, 'status', new.status,
      'error', new.error, 'child', 'run_' || replace(new.child_id::text, '-', '')));
  end if;
  return null;
end $$;
create trigger step_told after insert or update of status on steps for each row execute function tell_step();

create function tell_log() returns trigger language plpgsql as $$
begin
  if exists (select from runs where id = new.run_id and told) then
    perform tell(new.run_id, 'log', jsonb_build_object('attempt', new.attempt, 'level', new.level,
      'message', new.message, 'fields', new.fields));
  end if;
  return null;
end $$;
create trigger log_told after insert on run_logs for each row execute function tell_log();
