#!/usr/bin/env bash
# Applies docker/sql/*.sql to a PostgreSQL of its own and checks what they promise.
#
#   tests/sql/run.sh
#
# Needs PostgreSQL 15 or later (PGBIN names its programs where they are not found). Starts a cluster in a temporary directory, reachable
# through a socket there only, and stops it. Run as root, it works as user postgres, because PostgreSQL refuses root.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { printf 'tests/sql: %s\n' "$*" >&2; exit 1; }

find_programs() {
  local newest
  newest=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$newest" ] && { echo "$newest"; return; }
  command -v initdb >/dev/null 2>&1 && { dirname "$(command -v initdb)"; return; }
  fail "no PostgreSQL found; hint: install it, or set PGBIN to the directory of initdb"
}

PGBIN=${PGBIN:-$(find_programs)}
place=$(mktemp -d)

as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

stop() {
  as_postgres "$PGBIN/pg_ctl" -D "$place/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$place"
}
trap stop EXIT

if [ "$(id -u)" -eq 0 ]; then chown postgres "$place"; fi
as_postgres "$PGBIN/initdb" -D "$place/data" --username=postgres --auth=trust --no-sync >/dev/null
as_postgres "$PGBIN/pg_ctl" -D "$place/data" -l "$place/log" -w -o "-k $place -c listen_addresses= -c fsync=off -c wal_level=logical" start \
  >/dev/null || { cat "$place/log" >&2; fail "PostgreSQL did not start"; }

sql() { PGOPTIONS='-c client_min_messages=warning' "$PGBIN/psql" -h "$place" -U postgres -d postgres -v ON_ERROR_STOP=1 -X -q -A -t "$@"; }

# expect WHAT WANTED QUERY: the query's answer is what was wanted.
expect() {
  local got
  got=$(sql -c "$3")
  [ "$got" = "$2" ] || fail "$1: wanted '$2', got '$got'"
  echo "ok: $1"
}

# expect_plan WHAT INDEX QUERY [FORBIDDEN]: the query finds its rows by the index. It never reads the whole table.
expect_plan() {
  local plan
  plan=$(sql -c "explain (costs off) $3")
  grep -Eq "(using|on) $2\b" <<<"$plan" || fail "$1 does not use $2:"$'\n'"$plan"
  if grep -Eq "Seq Scan${4:+|$4}" <<<"$plan"; then fail "$1 reads more than it needs:"$'\n'"$plan"; fi
  echo "ok: $1 uses $2"
}

sql -f tests/sql/schema.sql
sql -f tests/sql/rows.sql

# What is found before: a build that was interrupted, and a replica identity that forbids updates.
sql -c "create index ent_notification_xnovu_status on notify.ent_notification (id)"
sql -c "update pg_index set indisvalid = false where indexrelid = 'notify.ent_notification_xnovu_status'::regclass"
sql -c "alter table notify.ent_notification replica identity nothing"

for round in first second; do
  sql -f docker/sql/xnovu.sql 2>"$place/messages" || { cat "$place/messages" >&2; fail "the $round application failed"; }
  sql -f docker/sql/updated-at.sql 2>>"$place/messages" || { cat "$place/messages" >&2; fail "the $round application failed"; }
  ! grep -q WARNING "$place/messages" || { cat "$place/messages" >&2; fail "the $round application warned"; }
  echo "ok: the $round application"
done

expect "two valid indexes" 2 "select count(*) from pg_index join pg_class on oid = indexrelid where relname like '%xnovu%' and indisvalid"
expect "the table is published" 1 "select count(*) from pg_publication_tables where pubname = 'supabase_realtime' and tablename = 'ent_notification'"
expect "a replica identity" d "select relreplident from pg_class where oid = 'notify.ent_notification'::regclass"
sql -c "alter table notify.ent_notification replica identity full" -f docker/sql/xnovu.sql
expect "a wider replica identity is left alone" f "select relreplident from pg_class where oid = 'notify.ent_notification'::regclass"

one="enterprise_id = '00000000-0000-4000-8000-000000000003'"
page="order by id limit 500"
owed="notification_status = 'PENDING' and publish_status = 'PUBLISH' and deactivated is false
  and (scheduled_for is null or scheduled_for <= now() + interval '10 minutes')"
expect_plan "the search for owed rows" ent_notification_xnovu_status \
  "select * from notify.ent_notification where $one and $owed and id > 10 $page"
expect_plan "the search through a backlog" ent_notification_xnovu_status \
  "select * from notify.ent_notification where enterprise_id = '00000000-0000-4000-8000-000000000099' and $owed and id > 10 $page" Sort
expect_plan "the search for retractions" ent_notification_xnovu_retracted \
  "select * from notify.ent_notification where $one and notification_status = 'RETRACTED' and transaction_id like 'xn-%'
   and error_details ->> 'cancelled' is null and (retracted_at >= now() - interval '7 days' or (retracted_at is null and
   updated_at >= now() - interval '7 days')) $page"
expect_plan "the search for expired claims" ent_notification_xnovu_status \
  "select * from notify.ent_notification where $one and notification_status = 'PROCESSING'
   and (processed_at is null or processed_at < now() - interval '2 minutes') $page"

# expect_prepared WHAT INDEX MODE TYPES VALUES QUERY: the same for a prepared statement that has run often enough to be planned without its
# values, where the mode allows that. PostgREST prepares its statements.
expect_prepared() {
  local runs plan
  runs=$(for _ in 1 2 3 4 5 6 7; do echo "execute question($5);"; done)
  plan=$(sql -c "set plan_cache_mode = $3" -c "prepare question($4) as $6" -c "$runs" \
    -c "explain (costs off) execute question($5)")
  grep -Eq "(using|on) $2\b" <<<"$plan" || fail "$1, prepared ($3), does not use $2:"$'\n'"$plan"
  echo "ok: $1, prepared ($3), uses $2"
}

status=shared_types.notification_status
prepared_owed="select id from notify.ent_notification where enterprise_id = \$1 and notification_status = \$2 and publish_status = \$3
  and deactivated is false and (scheduled_for is null or scheduled_for <= \$4) and id > \$5 order by id limit \$6"
prepared_retracted="select id from notify.ent_notification where enterprise_id = \$1 and notification_status = \$2
  and transaction_id like \$3 and error_details ->> 'cancelled' is null and updated_at >= \$4 and id > \$5 order by id limit \$6"
id="'00000000-0000-4000-8000-000000000003'"
for mode in auto force_generic_plan force_custom_plan; do
  expect_prepared "the search for owed rows" ent_notification_xnovu_status "$mode" \
    "uuid, $status, shared_types.publish_status, timestamptz, bigint, bigint" "$id, 'PENDING', 'PUBLISH', now(), 0, 500" "$prepared_owed"
done
expect_prepared "the search for retractions" ent_notification_xnovu_retracted force_custom_plan \
  "uuid, $status, text, timestamptz, bigint, bigint" "$id, 'RETRACTED', 'xn-%', now() - interval '7 days', 0, 500" "$prepared_retracted"
expect "the service role's requests are planned with their values" "{plan_cache_mode=force_custom_plan}" \
  "select rolconfig from pg_roles where rolname = 'service_role'"

work="set role service_role;
  insert into notify.ent_notification (name, payload, recipients) values ('by-role', '{}', '{}');
  update notify.ent_notification set notification_status = 'PROCESSING' where name = 'by-role'"
expect "the service role may claim and settle" PROCESSING \
  "$work; select notification_status::text from notify.ent_notification where name = 'by-role'"
expect "the service role may read what a notification points to" 0 "set role service_role;
  select count(*) from notify.ent_notification_workflow, notify.ent_notification_rule, notify.typ_notification_category,
  notify.typ_notification_priority"
expect "the service role may not delete" f "select has_table_privilege('service_role', 'notify.ent_notification', 'delete')"

sql -c "insert into notify.ent_notification_workflow (id, name, workflow_type, workflow_key) values (1, 'w', 'STATIC', 'w');
  insert into notify.ent_notification_rule (name, notification_workflow_id, trigger_type, publish_status, deactivated, enterprise_id) values
  ('fires', 1, 'CRON', 'PUBLISH', false, '00000000-0000-4000-8000-000000000001'),
  ('off', 1, 'CRON', 'PUBLISH', true, '00000000-0000-4000-8000-000000000002'), ('nobody''s', 1, 'CRON', 'PUBLISH', false, null);
  insert into notify.ent_notification (name, enterprise_id, payload, recipients, scheduled_for)
  values ('later', '00000000-0000-4000-8000-000000000004', '{}', '{}', now() + interval '1 day')"
tied=$(sql -f docker/sql/tied-enterprises.sql)
[ "$tied" = "00000000-0000-4000-8000-000000000001|1|0
00000000-0000-4000-8000-000000000004|0|1" ] || fail "the enterprises that move together: $tied"
echo "ok: enterprises with rules or scheduled rows move together"

owed_by=$(sql -f docker/sql/owed.sql | cut -d'|' -f1,2)
wanted=$(sql -c "select enterprise_id, count(*) from notify.ent_notification where enterprise_id is not null and $owed
  or enterprise_id is not null and not deactivated and publish_status = 'PUBLISH' and (notification_status = 'PROCESSING'
  or notification_status = 'PENDING' and scheduled_for > now()) group by 1 order by 1")
[ -n "$owed_by" ] && [ "$owed_by" = "$wanted" ] || fail "what is owed: wanted $wanted, got $owed_by"
echo "ok: what each enterprise's rows owe is counted"

moved="update notify.ent_notification set tags = '{edited}' where name = 'n-3' returning updated_at > (select updated_at from
  notify.ent_notification where name = 'n-3')"
expect "an edit moves updated_at" t "$moved"
expect "an update that changes nothing does not" f "$moved"
echo "tests/sql: passed"
