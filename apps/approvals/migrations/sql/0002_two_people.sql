-- Nobody decides what they asked for. `barred` is never null, so no comparison is unknown; a vote
-- carries its request's, which the foreign key keeps equal.
alter table approvals
  add constraint approval_barred unique (id, barred),
  add constraint approval_human_is_barred check (human_id is null or human_id = any (barred)),
  add constraint approval_of_another check (approver_id <> all (barred));
alter table approval_votes
  add constraint approval_vote_barred foreign key (approval_id, barred) references approvals (id, barred),
  add constraint approval_vote_of_another check (member_id <> all (barred));

-- What was asked, of whom and until when, is for good.
create function guard_approval() returns trigger language plpgsql as $$
begin
  if (old.subject_type, old.subject_id, old.title, old.payload, old.payload_digest, old.policy_version,
      old.manifest_digest, old.barred, old.human_id, old.reasons, old.evidence, old.quorum, old.role_id,
      old.created_at, old.expires_at)
    is distinct from
     (new.subject_type, new.subject_id, new.title, new.payload, new.payload_digest, new.policy_version,
      new.manifest_digest, new.barred, new.human_id, new.reasons, new.evidence, new.quorum, new.role_id,
      new.created_at, new.expires_at) then
    raise exception 'what was asked for cannot be changed' using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger approval_stays before update on approvals for each row execute function guard_approval();

create function guard_new_approval() returns trigger language plpgsql as $$
begin
  raise exception 'an approval begins pending' using errcode = 'check_violation';
end $$;
create trigger approval_begins before insert on approvals
  for each row when (new.status <> 'pending') execute function guard_new_approval();

-- Only the moves that there are; approved is what has votes enough or broken glass, in time.
create function guard_approval_move() returns trigger language plpgsql as $$
begin
  if (old.status || ' ' || new.status) not in (
      'pending approved', 'pending rejected', 'pending expired', 'pending cancelled',
      'approved consumed', 'approved expired', 'approved cancelled') then
    raise exception 'an approval cannot move from % to %', old.status, new.status using errcode = 'check_violation';
  end if;
  if new.status in ('approved', 'consumed') and new.expires_at <= clock_timestamp() then
    raise exception 'the approval has expired' using errcode = 'check_violation';
  end if;
  if new.status = 'approved' and new.glass_reason = '' and new.quorum > (
      select count(*) from approval_votes where approval_id = new.id and verdict = 'approve') then
    raise exception 'the votes are not enough' using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger approval_moves before update of status on approvals
  for each row when (old.status is distinct from new.status) execute function guard_approval_move();
