-- What xnovu needs in the database whose notifications it sends: indexes, change events, and the rights of its role.
--
-- Apply as the owner of schema notify, with psql and without --single-transaction, because indexes are built concurrently:
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f xnovu.sql
--
-- In an editor that wraps a script in a transaction, run the statements one by one. Applying it again changes nothing. It takes nothing
-- away, changes no row and no column, and works on PostgreSQL 15 and later. One thing it cannot do: schema notify must be among the
-- exposed schemas of the project's API settings (db-schemas of PostgREST).
--
-- updated-at.sql beside this file is for databases in which nothing sets ent_notification.updated_at on UPDATE.

-- Whoever waits for a lock on the table makes everybody behind it wait, so we do not wait long.
set lock_timeout = '5s';

-- A concurrent build that was interrupted leaves an index that is kept up to date and never used, and "if not exists" would be content
-- with it.
do $$
declare
  leftover regclass;
begin
  for leftover in
    select index.indexrelid::regclass
      from pg_index index
      join pg_class class on class.oid = index.indexrelid
     where index.indrelid = 'notify.ent_notification'::regclass
       and class.relname in ('ent_notification_xnovu_status', 'ent_notification_xnovu_retracted')
       and not index.indisvalid
  loop
    execute format('drop index %s', leftover);
  end loop;
end
$$;

-- A concurrent build locks nobody out, but waits for every older transaction, however long.
reset lock_timeout;

-- The sweep asks every 30 s, for one enterprise at a time and by id, which rows are owed and which claims have been given up. Without this
-- index the question reads the whole table, runs into the statement time-out on a large one, and the safety net is gone. It holds every
-- row on purpose: PostgREST prepares its statements, and a plan that is made without knowing the values can use no index that is limited
-- to PENDING rows.
create index concurrently if not exists ent_notification_xnovu_status
  on notify.ent_notification (enterprise_id, notification_status, id);

-- The sweep also asks which rows that xnovu has sent were taken back. Every row a rule has ever dropped is RETRACTED, so the index above
-- would not do; this one holds a row until its retraction has been carried to Novu.
create index concurrently if not exists ent_notification_xnovu_retracted
  on notify.ent_notification (enterprise_id, id)
  where notification_status = 'RETRACTED' and transaction_id is not null and (error_details ->> 'cancelled') is null;

-- That index is limited to some rows, so the question must be planned with its values. PostgREST 11 and later apply the settings of the
-- role they act as to each of its requests. Planning costs a fraction of a millisecond.
do $$
begin
  if exists (select from pg_roles where rolname = 'service_role') then
    alter role service_role set plan_cache_mode = 'force_custom_plan';
  end if;
end
$$;

set lock_timeout = '5s';

-- Realtime tells only of tables in this publication. Without it notifications still go out, at the pace of the sweep.
do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    raise warning 'publication supabase_realtime does not exist: Realtime is not set up here, only the sweep will find rows';
  elsif not exists (
    select from pg_publication_tables
     where pubname = 'supabase_realtime' and schemaname = 'notify' and tablename = 'ent_notification'
  ) then
    alter publication supabase_realtime add table notify.ent_notification;
  end if;
end
$$;

-- A published table without any replica identity refuses every UPDATE. The primary key is enough: xnovu reads each row anew and never
-- looks at old values, so FULL, which writes each old row into the log, would only cost. A FULL that somebody else needs is left alone.
do $$
begin
  if (select relreplident from pg_class where oid = 'notify.ent_notification'::regclass) = 'n' then
    alter table notify.ent_notification replica identity default;
  end if;
end
$$;

-- The role of the service-role and secret keys. It passes row level security but still needs rights: to read everything a notification
-- points to, to write states, and to insert the notifications of cron rules. It never deletes.
do $$
declare
  enum_type regtype;
begin
  if not exists (select from pg_roles where rolname = 'service_role') then
    raise warning 'role service_role does not exist: grant the same rights to the role of the key xnovu uses';
    return;
  end if;
  grant usage on schema notify, shared_types to service_role;
  grant select, insert, update on notify.ent_notification to service_role;
  grant select on notify.ent_notification_workflow, notify.ent_notification_rule to service_role;
  grant select on notify.typ_notification_category, notify.typ_notification_priority to service_role;
  -- Filters cast their values to these types. Everybody may use a type unless somebody has revoked that.
  for enum_type in
    select type.oid::regtype
      from pg_type type
      join pg_namespace namespace on namespace.oid = type.typnamespace
     where namespace.nspname = 'shared_types' and type.typtype = 'e'
  loop
    execute format('grant usage on type %s to service_role', enum_type);
  end loop;
end
$$;

-- PostgREST keeps what it knows of the schema until it is told.
notify pgrst, 'reload schema';

reset lock_timeout;
