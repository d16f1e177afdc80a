-- For databases in which nothing sets ent_notification.updated_at on UPDATE. Apply after xnovu.sql, as the owner of schema notify.
--
-- xnovu recognizes by updated_at that a row was edited between its reading and its writing, so that a rule's verdict on an old version
-- never takes a new one back. A host platform that keeps the column up to date itself needs nothing of this; beside its trigger this one
-- does no harm. Applying it again changes nothing.

create or replace function notify.xnovu_touch_updated_at() returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  -- Two updates within one transaction share its time, and clocks may be set back: the column must move all the same.
  new.updated_at := greatest(pg_catalog.now(), old.updated_at + interval '1 microsecond');
  return new;
end
$$;

create or replace trigger xnovu_touch_updated_at
  before update on notify.ent_notification
  for each row
  when (old.* is distinct from new.*)
  execute function notify.xnovu_touch_updated_at();
