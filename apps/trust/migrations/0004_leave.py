"""How the SQL of higher apps leaves a digest behind: one insert, without a lock or a number."""

from django.db import migrations

# The sealer goes on where it was by the ids of transactions: a leaf under an older one would never
# be sealed, and would stand where no checkpoint has it.
CREATE = """
create function leave(p_kind text, p_subject uuid, p_digest bytea, p_aside jsonb default null) returns void
language plpgsql as $$
begin
  insert into trust_leaf (id, kind, subject_id, digest, aside)
    values (uuidv7(), p_kind, p_subject, p_digest, p_aside);
end $$;

create function leaf_of_another() returns trigger language plpgsql as $$
begin
  raise exception 'a leaf is left by its own transaction' using errcode = 'check_violation';
end $$;
create trigger leaf_of_another before insert on trust_leaf
  for each row when (new.xid <> pg_current_xact_id()::text::bigint) execute function leaf_of_another();
"""
DROP = """
drop trigger leaf_of_another on trust_leaf;
drop function leaf_of_another();
drop function leave(text, uuid, bytea, jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("trust", "0003_log")]

    operations = [migrations.RunSQL(CREATE, DROP)]
