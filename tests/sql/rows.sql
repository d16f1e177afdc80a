-- A year of a busy platform: 20 enterprises, nearly everything sent long ago, a little of every other state.

insert into notify.ent_notification
  (name, enterprise_id, publish_status, deactivated, notification_status, payload, recipients, transaction_id, processed_at, retracted_at,
   error_details)
select 'n-' || n,
       ('00000000-0000-4000-8000-' || lpad((n % 20)::text, 12, '0'))::uuid,
       (case when n % 1000 = 7 then 'DRAFT' else 'PUBLISH' end)::shared_types.publish_status,
       n % 1000 = 8,
       (case when n % 1000 < 10 then 'PENDING' when n % 1000 < 12 then 'PROCESSING' when n % 1000 < 40 then 'RETRACTED' else 'SENT' end)
         ::shared_types.notification_status,
       '{}', '{}',
       case when n % 1000 >= 10 then 'xn-e-' || n || '-5' end,
       case when n % 1000 >= 10 then now() - interval '1 hour' end,
       case when n % 1000 between 12 and 39 then now() end,
       case when n % 1000 between 13 and 39 then '{"cancelled": "2026-01-01T00:00:00.000000Z"}'::jsonb end
  from generate_series(1, 100000) n;

-- And one enterprise with a backlog.
insert into notify.ent_notification (name, enterprise_id, publish_status, payload, recipients)
select 'backlog-' || n, '00000000-0000-4000-8000-000000000099', 'PUBLISH', '{}', '{}' from generate_series(1, 20000) n;

-- Every row is sampled, so that each run plans with the same statistics.
set default_statistics_target = 1000;
analyze notify.ent_notification;
