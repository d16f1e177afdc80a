-- Which enterprises cannot be moved one by one (docs/migrate.md): the TypeScript daemon fires rules and sends scheduled rows of every
-- enterprise, whatever its list says. Reads only.
select enterprise_id,
       count(*) filter (where kind = 'rule') as rules,
       count(*) filter (where kind = 'scheduled') as scheduled_rows
from (
  select enterprise_id, 'rule' as kind
  from notify.ent_notification_rule
  where trigger_type = 'CRON' and publish_status = 'PUBLISH' and not deactivated
  union all
  select enterprise_id, 'scheduled'
  from notify.ent_notification
  where notification_status = 'PENDING' and scheduled_for is not null
) as tied
where enterprise_id is not null
group by enterprise_id
order by enterprise_id;
