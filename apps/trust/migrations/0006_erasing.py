"""What may ever be done to an audit event: empty it of what it says, never of its place."""

from django.db import migrations

CREATE = """
create function audit_erase_only() returns trigger language plpgsql as $$
begin
  if (new.id, new.org_id, new.seq, new.at, new.prev, new.hash)
       is distinct from (old.id, old.org_id, old.seq, old.at, old.prev, old.hash)
     or concat(new.body, new.actor_type, new.actor_id, new.actor_label, new.action,
               new.subject_type, new.subject_id) <> '' or new.detail <> '{}'::jsonb then
    raise exception 'an audit event can only be erased' using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger audit_erase_only before update on audit_events
  for each row execute function audit_erase_only();
"""
DROP = """
drop trigger audit_erase_only on audit_events;
drop function audit_erase_only();
"""


class Migration(migrations.Migration):
    dependencies = [("trust", "0005_retention")]

    operations = [migrations.RunSQL(CREATE, DROP)]
