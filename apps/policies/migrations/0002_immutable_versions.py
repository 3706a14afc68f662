"""Let Postgres itself keep what a version says, and start it as a draft.

The default is not a `db_default`: Django would read it back into the protected field.
"""

from django.db import migrations

CREATE = """
alter table org_policies alter status set default 'draft';
create function keep_policy_text() returns trigger
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
  if (new.id, new.policy_id, new.version, new.name, new.purpose, new.rego_text, new.tests,
      new.digest, new.created_at, new.created_by_id)
     is distinct from
     (old.id, old.policy_id, old.version, old.name, old.purpose, old.rego_text, old.tests,
      old.digest, old.created_at, old.created_by_id)
  then
    raise exception 'a version of a policy stays as it was written'
      using errcode = 'integrity_constraint_violation', constraint = 'org_policy_text';
  end if;
  return new;
end $$;
create trigger org_policy_text before update on org_policies
  for each row execute function keep_policy_text();
"""
DROP = """
drop trigger org_policy_text on org_policies;
drop function keep_policy_text();
alter table org_policies alter status drop default;
"""


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
