//! Supabase: what the API lets us read and write, whether Realtime tells, whose rows are at work, and what time it is there.
//!
//! Owns what is asked. Asks about an enterprise nobody has wherever that is enough, and reads of the others' rows only who claimed them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, JobId, Micros, Status};

use super::{Finding, Findings, Served, Verdict, chain, key, within};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, PerEnterprise};
use crate::source::realtime::realtime_sources;
use crate::source::sweep::SweepRequests;
use crate::source::{Connection, StatusSender};
use crate::store::postgrest::Postgrest;
use crate::store::{Fence, NotificationStore, StoreError};

/// An enterprise nobody has: asking about it reads and changes nobody's rows.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Longest wait for the subscription to be confirmed: the source itself gives up after 15 s.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(20);

/// Clocks further apart than this confuse whoever reads times; ours is corrected for it.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// Enterprises whose rows are looked at, and rows of each in each state, the newest first.
const ENTERPRISES_LOOKED_AT: usize = 20;
const ROWS_LOOKED_AT: usize = 100;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long ago a notification may have been sent by somebody else who is taken to be still at work.
const RECENT: Duration = Duration::from_secs(900);

/// What is looked at once the API answers.
const BEHIND_THE_API: [&str; 5] = ["supabase writes", "realtime", "workflows", ANOTHER_SENDER, "clock"];

const ANOTHER_SENDER: &str = "another sender, by its rows";

pub(super) async fn examine(config: &Config, served: Served) -> Findings {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = key::examine(&config.supabase.key.reveal(), &config.supabase.url, clock.now());
    let store = match Postgrest::new(&config.supabase, Arc::clone(&clock)) {
        Ok(store) => store,
        Err(error) => return vec![Finding::failed("supabase reads", chain(&error), "check SUPABASE_SERVICE_ROLE_KEY")],
    };
    let nobody: EnterpriseId = NOBODY.parse().expect("it is a UUID");
    let read = within(PATIENCE, "supabase reads", REACH, reads(&store, &nobody, config)).await;
    if read.verdict == Verdict::Failed {
        let rest = BEHIND_THE_API.map(|check| Finding::not_checked(check, "the database's API does not answer us"));
        return [key, read].into_iter().chain(rest).collect();
    }
    let (writes, realtime, rows) = tokio::join!(
        within(PATIENCE, "supabase writes", REACH, writes(&store, &nobody)),
        realtime(config, nobody.clone(), Arc::clone(&clock)),
        of_enterprises(&store, config, served),
    );
    let skew = skew(store.database_now(), clock.now());
    [key, read, writes, realtime].into_iter().chain(rows).chain([skew]).collect()
}

/// What to do where nobody answers.
const REACH: &str = "check NEXT_PUBLIC_SUPABASE_URL, and that this machine reaches it";

/// What concerns the enterprises that would be served.
async fn of_enterprises(store: &Postgrest, config: &Config, mut served: Served) -> Findings {
    let mut enterprises = config.enterprises.clone();
    if enterprises.is_empty() {
        let known = served.wait_for(Option::is_some).await.ok();
        enterprises = known.and_then(|known| known.clone()).unwrap_or_default();
    }
    enterprises.retain(|enterprise| config.of(enterprise).enabled);
    if enterprises.is_empty() {
        return ["workflows", ANOTHER_SENDER]
            .map(|check| Finding::not_checked(check, "no enterprise is known to be served"))
            .into();
    }
    let some = &enterprises[..enterprises.len().min(ENTERPRISES_LOOKED_AT)];
    let (workflows, foreign) = tokio::join!(
        within(PATIENCE, "workflows", REACH, workflows(store, some)),
        within(PATIENCE, ANOTHER_SENDER, REACH, foreign_rows(store, some)),
    );
    vec![workflows, foreign]
}

async fn reads(store: &Postgrest, nobody: &EnterpriseId, config: &Config) -> Finding {
    let check = "supabase reads";
    let asked = async {
        store.owed(nobody, None, Micros::new(0), 1).await?;
        store.workflows(nobody).await?;
        store.rules(std::slice::from_ref(nobody), None, 1).await.map(drop)
    };
    let url = config::place(&config.supabase.url).unwrap_or_default();
    match asked.await {
        Ok(()) => Finding::ok(check, format!("{url} answers; schema notify is exposed, and its tables can be read")),
        Err(error) => Finding::failed(check, chain(&error), advice(&error)),
    }
}

/// The write a worker makes to give a claim back, for a job nobody has: it matches no row.
async fn writes(store: &Postgrest, nobody: &EnterpriseId) -> Finding {
    let check = "supabase writes";
    let job: JobId = format!("xn-{nobody}-1-1").parse().expect("it has the form of a job's id");
    match store.release(&Fence { job, stamp: Micros::new(1) }, None).await {
        Ok(_) => Finding::ok(check, "notifications may be updated"),
        Err(error) => Finding::failed(check, chain(&error), advice(&error)),
    }
}

fn advice(error: &StoreError) -> &'static str {
    match (error.code(), error.status()) {
        (Some("PGRST106"), _) | (_, Some(406)) => {
            "add notify to the exposed schemas: Project Settings > API > Exposed schemas"
        }
        (Some("42501"), _) => "apply docker/sql/xnovu.sql: it grants the role of the key what it needs",
        (Some("PGRST205" | "42P01"), _) => {
            "create the platform's tables in schema notify; the key may also belong to another project"
        }
        (_, Some(401 | 403)) => {
            "set SUPABASE_SERVICE_ROLE_KEY to the service-role or secret key of this project, not to the anon key"
        }
        (_, None) => REACH,
        _ => "see the logs of the project's API",
    }
}

/// Joins as the daemon does, until the server says that changes will arrive.
async fn realtime(config: &Config, nobody: EnterpriseId, clock: Arc<dyn Clock>) -> Finding {
    let check = "realtime";
    let (settings, requests) = (Arc::new(PerEnterprise::default()), Arc::new(SweepRequests::default()));
    let everybody = [nobody.clone()];
    let sources = realtime_sources(&config.supabase, config.sources, &settings, &everybody, &requests);
    let Some(source) = sources.into_iter().next() else { return Finding::not_checked(check, "there is no source") };
    let status = StatusSender::new(&everybody, clock);
    let (mut table, stop, (hints, _heard)) = (status.watch(), CancellationToken::new(), mpsc::channel(16));
    let subscribed = table.wait_for(|table| {
        table
            .get(&nobody)
            .is_some_and(|standing| matches!(standing.connection, Connection::Subscribed | Connection::Error))
    });
    let hint = "apply docker/sql/xnovu.sql: it adds the table to the publication supabase_realtime; without Realtime only the sweep finds rows";
    tokio::select! {
        table = subscribed => {
            let standing = table.ok().and_then(|table| table.get(&nobody).cloned());
            match standing {
                Some(standing) if standing.connection == Connection::Subscribed => {
                    Finding::ok(check, "a subscription is confirmed")
                }
                standing => Finding::failed(check, standing.and_then(|standing| standing.last_error).unwrap_or_default(), hint),
            }
        }
        ended = source.run(&hints, &status, &stop) => match ended {
            Err(error) => Finding::failed(check, chain(&error), "check that WebSockets reach the project, and the key"),
            Ok(()) => Finding::failed(check, "the socket ended", hint),
        },
        () = tokio::time::sleep(SUBSCRIBED_WITHIN) => {
            Finding::failed(check, format!("no subscription is confirmed within {SUBSCRIBED_WITHIN:?}"), hint)
        }
    }
}

/// An enterprise without a published workflow has nothing its notifications could be sent by.
async fn workflows(store: &Postgrest, enterprises: &[EnterpriseId]) -> Finding {
    let check = "workflows";
    let mut without = Vec::new();
    for enterprise in enterprises {
        match store.workflows(enterprise).await {
            Ok(workflows) => without.extend(workflows.is_empty().then(|| enterprise.to_string())),
            Err(error) => return Finding::not_checked(check, chain(&error)),
        }
    }
    if without.is_empty() {
        return Finding::ok(check, format!("{} have published ones", looked_at(enterprises)));
    }
    let what = format!("none is published for {}: their notifications fail", without.join(", "));
    Finding::warning(check, what, "publish their workflows in ent_notification_workflow, or check the ids")
}

/// Hazard 20: rows that somebody else is sending, or has just sent. The TypeScript daemon leaves `transaction_id` empty.
async fn foreign_rows(store: &Postgrest, enterprises: &[EnterpriseId]) -> Finding {
    let (mut recent, mut left) = (Vec::new(), Vec::new());
    for enterprise in enterprises {
        let since = store.database_now().minus(RECENT);
        let mut stamps = Vec::new();
        for status in ["PROCESSING", "SENT"] {
            match store.latest(enterprise, status, ROWS_LOOKED_AT).await {
                Ok(read) => {
                    let foreign = read.rows.iter().filter(|row| row.is_of_another_sender());
                    stamps.extend(foreign.filter_map(|row| Some((row.notification_status, row.processed_at?))));
                }
                Err(error) => return Finding::not_checked(ANOTHER_SENDER, chain(&error)),
            }
        }
        if stamps.iter().any(|(_, at)| *at >= since) {
            recent.push(enterprise.to_string());
        } else if stamps.iter().any(|(status, _)| *status == Status::Processing) {
            left.push(enterprise.to_string());
        }
    }
    let minutes = RECENT.as_secs() / 60;
    if !recent.is_empty() {
        let what = format!("within {minutes} min rows were sent that xnovu did not claim, of {}", recent.join(", "));
        let hint =
            "stop the other sender (docs/migrate.md) before xnovu sends for these enterprises; side by side both send";
        return Finding::warning(ANOTHER_SENDER, what, hint);
    }
    if !left.is_empty() {
        let what = format!(
            "rows that xnovu did not claim stand at PROCESSING for longer than {minutes} min, of {}",
            left.join(", ")
        );
        let hint = "xnovu leaves them alone: where their sender is gone, set them to PENDING or FAILED by hand";
        return Finding::warning(ANOTHER_SENDER, what, hint);
    }
    let what = format!("within {minutes} min nobody else has sent rows of {}", looked_at(enterprises));
    Finding::ok(ANOTHER_SENDER, what)
}

fn looked_at(enterprises: &[EnterpriseId]) -> String {
    match enterprises.len() {
        ENTERPRISES_LOOKED_AT => format!("the first {ENTERPRISES_LOOKED_AT} enterprises"),
        1 => "the one enterprise".to_owned(),
        number => format!("the {number} enterprises"),
    }
}

fn skew(there: Micros, here: Micros) -> Finding {
    let check = "clock";
    let (later, earlier, word) = if there > here { (there, here, "ahead of") } else { (here, there, "behind") };
    let apart = later.since(earlier);
    if apart <= SKEW_MAX {
        return Finding::ok(check, "the clocks of this machine and of the database may agree");
    }
    let what =
        format!("the database is {} s {word} this machine; times we write are corrected for it", apart.as_secs());
    Finding::warning(check, what, "let NTP set this machine's clock: timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_apart_in_either_direction_above_the_bound_only() {
        let at = |seconds: i64| Micros::new(seconds * 1_000_000);
        assert_eq!(skew(at(102), at(100)).verdict, Verdict::Ok);
        assert!(skew(at(103), at(100)).what.contains("3 s ahead of"));
        assert!(skew(at(100), at(3_700)).what.contains("3600 s behind"));
    }
}
