-- What each enterprise's rows owe (docs/backup.md): to be looked at before anything starts on a database that was restored. Reads only.
select enterprise_id,
       count(*) as rows,
       min(created_at) as oldest,
       max(created_at) as newest
from notify.ent_notification
where notification_status in ('PENDING', 'PROCESSING')
  and publish_status = 'PUBLISH'
  and not deactivated
  and enterprise_id is not null
group by enterprise_id
order by enterprise_id;
