//! Supabase: what the API lets us read and write, whether Realtime tells, whose rows are at work, and what time it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, JobId, Micros};

use super::{Finding, chain};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, PerEnterprise};
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

/// Enterprises whose rows are looked at, and rows of each.
const ENTERPRISES_LOOKED_AT: usize = 20;
const ROWS_LOOKED_AT: usize = 100;

pub(super) async fn examine(config: &Config, enterprises: &[EnterpriseId]) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = match Postgrest::new(&config.supabase, Arc::clone(&clock)) {
        Ok(store) => store,
        Err(error) => return vec![Finding::fail("supabase", chain(&error), "check SUPABASE_SERVICE_ROLE_KEY")],
    };
    let nobody: EnterpriseId = NOBODY.parse().expect("it is a UUID");
    let read = reads(&store, &nobody, config).await;
    if read.verdict == super::Verdict::Fail {
        let rest = ["supabase writes", "realtime", "another sender, by its rows", "clock"];
        let rest = rest.map(|check| Finding::not_checked(check, "the database's API does not answer"));
        return std::iter::once(read).chain(rest).collect();
    }
    let writes = writes(&store, &nobody).await;
    let foreign = foreign_rows(&store, enterprises).await;
    let skew = skew(store.database_now(), clock.now());
    vec![read, writes, realtime(config, nobody, clock).await, foreign, skew]
}

async fn reads(store: &Postgrest, nobody: &EnterpriseId, config: &Config) -> Finding {
    let check = "supabase reads";
    let asked = async {
        store.owed(nobody, None, Micros::new(0), 1).await?;
        store.workflows(nobody).await?;
        store.rules(nobody, None, 1).await.map(drop)
    };
    match asked.await {
        Ok(()) => Finding::ok(check, format!("{} answers; schema notify is exposed", config.supabase.url)),
        Err(error) => Finding::fail(check, chain(&error), advice(&error)),
    }
}

/// The write a worker makes to give a claim back, for a job nobody has: it matches no row.
async fn writes(store: &Postgrest, nobody: &EnterpriseId) -> Finding {
    let check = "supabase writes";
    let job: JobId = format!("xn-{nobody}-1-1").parse().expect("it has the form of a job's id");
    match store.release(&Fence { job, stamp: Micros::new(1) }, None).await {
        Ok(_) => Finding::ok(check, "notifications may be updated"),
        Err(error) => Finding::fail(check, chain(&error), advice(&error)),
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
        (_, None) => "check NEXT_PUBLIC_SUPABASE_URL, and that this machine reaches it",
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
                standing => Finding::fail(check, standing.and_then(|standing| standing.last_error).unwrap_or_default(), hint),
            }
        }
        ended = source.run(&hints, &status, &stop) => match ended {
            Err(error) => Finding::fail(check, chain(&error), "check that WebSockets reach the project, and the key"),
            Ok(()) => Finding::fail(check, "the socket ended", hint),
        },
        () = tokio::time::sleep(SUBSCRIBED_WITHIN) => {
            Finding::fail(check, format!("no subscription is confirmed within {SUBSCRIBED_WITHIN:?}"), hint)
        }
    }
}

/// Hazard 20: rows that are being sent under a transaction id that is not ours.
async fn foreign_rows(store: &Postgrest, enterprises: &[EnterpriseId]) -> Finding {
    let check = "another sender, by its rows";
    let horizon = store.database_now().plus(Duration::from_secs(86_400));
    let (mut foreign, mut of) = (0, Vec::new());
    for enterprise in enterprises.iter().take(ENTERPRISES_LOOKED_AT) {
        match store.expired(enterprise, horizon, None, ROWS_LOOKED_AT).await {
            Ok(read) => {
                let rows = read.rows.iter().filter(|row| row.claimed_by().is_none()).count();
                foreign += rows;
                of.extend((rows > 0).then(|| enterprise.to_string()));
            }
            Err(error) => return Finding::not_checked(check, chain(&error)),
        }
    }
    if foreign == 0 {
        return Finding::ok(
            check,
            format!("no row of {} enterprises is being sent by others", enterprises.len().min(ENTERPRISES_LOOKED_AT)),
        );
    }
    let what = format!("{foreign} PROCESSING rows are not ours, of {}", of.join(", "));
    let hint = "stop the other sender before xnovu sends for these enterprises; rows it has left behind are to be set to PENDING or FAILED by hand";
    Finding::warn(check, what, hint)
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
    Finding::warn(check, what, "let NTP set this machine's clock: timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn clocks_are_apart_in_either_direction_above_the_bound_only() {
        let at = |seconds: i64| Micros::new(seconds * 1_000_000);
        assert_eq!(skew(at(102), at(100)).verdict, Verdict::Ok);
        assert!(skew(at(103), at(100)).what.contains("3 s ahead of"));
        assert!(skew(at(100), at(3_700)).what.contains("3600 s behind"));
    }
}
