#!/bin/bash
# Run once by the Postgres container over a fresh cluster: makes the product's logins.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set owner="$MANDATE_OWNER_PASSWORD" --set app="$MANDATE_APP_PASSWORD" \
    --set roles="${ROLES_SQL:-/etc/mandate/roles.sql}" <<'SQL'
select set_config('mandate.owner_password', :'owner', false),
       set_config('mandate.app_password', :'app', false)
\g /dev/null
\i :roles
SQL
