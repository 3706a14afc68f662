"""Let Postgres itself number and chain the audit events."""

from django.db import migrations

# tg_table_schema names the tenant's own head: the function never depends on the search path of
# whoever inserts, and runs with that role's rights and row policies.
CREATE = """
create function audit_chain() returns trigger
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  head constant text := format('%I.audit_head', tg_table_schema);
  last constant text := format(
    'select seq + 1, hash from %s where org_id = $1 for update', head);
begin
  execute last into new.seq, new.prev using new.org_id;
  if new.seq is null then  -- the org's first event; a concurrent first one waits here
    execute format('insert into %s (id, org_id, seq, hash) values ($1, $2, 0, $3)
                    on conflict (org_id) do nothing', head)
      using gen_random_uuid(), new.org_id, ''::bytea;
    execute last into new.seq, new.prev using new.org_id;
  end if;
  new.hash := sha256('\\x00'::bytea || int8send(new.seq) || new.prev
                     || convert_to(new.body, 'UTF8'));
  execute format('update %s set seq = $1, hash = $2 where org_id = $3', head)
    using new.seq, new.hash, new.org_id;
  return new;
end $$;
create trigger audit_chain before insert on audit_events
  for each row execute function audit_chain();
"""
DROP = """
drop trigger audit_chain on audit_events;
drop function audit_chain();
"""


class Migration(migrations.Migration):
    dependencies = [("trust", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
