//! The database itself, where `DATABASE_URL` leads to it: what no API tells.
//!
//! Owns the questions, all about the catalogue and none about a row. Each has a read-only transaction and a time limit of its own, so that
//! it works through a pooler, changes nothing, and one that fails leaves the others.

use std::time::Duration;

use tokio_postgres::{Client, Config as Connection, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Finding, Findings, chain};
use crate::config::{self, Config};

const GRANTS: &str = "database grants";
const ROW_SECURITY: &str = "database row security";
const PUBLICATION: &str = "database publication";
const REPLICA_IDENTITY: &str = "database replica identity";
const INDEXES: &str = "database indexes";
const UPDATED_AT: &str = "database updated_at";

/// What is looked at, in the order in which it is told.
const CHECKS: [&str; 6] = [GRANTS, ROW_SECURITY, PUBLICATION, REPLICA_IDENTITY, INDEXES, UPDATED_AT];

/// Longest wait for a connection, and for all answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest wait for one answer.
const STATEMENT_TIMEOUT: &str = "set local statement_timeout = '3s'; set local lock_timeout = '3s'";

/// What mends all of it.
const APPLY: &str = "psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 -f docker/sql/xnovu.sql";

/// The role of the service-role and secret keys.
const ROLE: &str = "service_role";

/// What the role needs, as table and right.
const RIGHTS: [(&str, &str); 7] = [
    ("notify.ent_notification", "SELECT"),
    ("notify.ent_notification", "UPDATE"),
    ("notify.ent_notification", "INSERT"),
    ("notify.ent_notification_workflow", "SELECT"),
    ("notify.ent_notification_rule", "SELECT"),
    ("notify.typ_notification_category", "SELECT"),
    ("notify.typ_notification_priority", "SELECT"),
];

/// The indexes of the sweep.
const SWEEP_INDEXES: [&str; 2] = ["ent_notification_xnovu_status", "ent_notification_xnovu_retracted"];

/// Parameters of a URL that our client knows. Others, such as Prisma's `pgbouncer`, are for other programs.
const KNOWN_PARAMETERS: [&str; 5] =
    ["application_name", "connect_timeout", "sslmode", "target_session_attrs", "channel_binding"];

pub(super) async fn examine(config: &Config) -> Findings {
    let Some(url) = &config.database_url else { return none("DATABASE_URL is not set") };
    let Some(connection) = connection(&url.reveal()) else {
        let hint =
            "write it as postgresql://user:password@host:5432/postgres, with what is special in the password escaped";
        return std::iter::once(Finding::failed("database", "DATABASE_URL is no URL of PostgreSQL", hint))
            .chain(none("DATABASE_URL cannot be read"))
            .collect();
    };
    let place = config::place(&url.reveal()).unwrap_or_else(|| "the database".to_owned());
    let what = match tokio::time::timeout(PATIENCE, ask(&connection)).await {
        Ok(Ok(findings)) => return findings,
        Ok(Err(error)) => format!("{place} cannot be asked: {error}"),
        Err(_) => format!("{place} does not answer within {} s", PATIENCE.as_secs()),
    };
    let hint = "check DATABASE_URL, and that this machine reaches it; Supabase's own authority is trusted with SSL_CERT_FILE=prod-ca-2021.crt";
    std::iter::once(Finding::warning("database", what, hint)).chain(none("the database does not answer us")).collect()
}

fn none(why: &str) -> Findings {
    CHECKS.map(|check| Finding::not_checked(check, why)).into()
}

/// How to connect, of a URL or of `key=value` pairs.
fn connection(text: &str) -> Option<Connection> {
    let Ok(mut url) = reqwest::Url::parse(text) else { return text.parse().ok() };
    let known: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| KNOWN_PARAMETERS.contains(&name.as_ref()))
        // Our client verifies certificates whenever it speaks TLS.
        .map(|(name, value)| match value.as_ref() {
            "verify-ca" | "verify-full" => (name.into_owned(), "require".to_owned()),
            value => (name.into_owned(), value.to_owned()),
        })
        .collect();
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(known);
    }
    url.as_str().parse().ok()
}

/// Connects and asks. The connection ends with the questions.
async fn ask(settings: &Connection) -> Result<Findings, String> {
    let tls = crate::store::http::tls().map_err(|error| chain(&error))?;
    let (mut client, connection) =
        settings.connect(MakeRustlsConnect::new(tls)).await.map_err(|error| chain(&error))?;
    tokio::select! {
        findings = questions(&mut client) => Ok(findings),
        ended = connection => Err(ended.err().map_or("the connection ended".to_owned(), |error| chain(&error))),
    }
}

async fn questions(client: &mut Client) -> Findings {
    let mut findings = Vec::new();
    for check in CHECKS {
        let found = question(client, check).await;
        findings.push(found.unwrap_or_else(|error| Finding::not_checked(check, chain(&error))));
    }
    findings
}

async fn question(client: &mut Client, check: &'static str) -> Result<Finding, tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    transaction.batch_execute(STATEMENT_TIMEOUT).await?;
    let there = yes(&transaction, "select to_regclass('notify.ent_notification') is not null").await?;
    if !there {
        let what = "there is no table notify.ent_notification, or this user may not see it";
        return Ok(Finding::failed(check, what, "let DATABASE_URL lead to the database of the platform, as its owner"));
    }
    match check {
        GRANTS => grants(&transaction).await,
        ROW_SECURITY => row_security(&transaction).await,
        PUBLICATION => publication(&transaction).await,
        REPLICA_IDENTITY => replica_identity(&transaction).await,
        INDEXES => indexes(&transaction).await,
        _ => updated_at(&transaction).await,
    }
}

async fn yes(transaction: &Transaction<'_>, question: &str) -> Result<bool, tokio_postgres::Error> {
    Ok(transaction.query_one(question, &[]).await?.get(0))
}

async fn grants(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    if !yes(transaction, &format!("select exists (select from pg_roles where rolname = '{ROLE}')")).await? {
        return Ok(Finding::not_checked(GRANTS, format!("there is no role {ROLE}")));
    }
    let mut missing = Vec::new();
    for schema in ["notify", "shared_types"] {
        let question = "select coalesce(has_schema_privilege($1::name, to_regnamespace($2::text)::oid, 'USAGE'), true)";
        let granted: bool = transaction.query_one(question, &[&ROLE, &schema]).await?.get(0);
        missing.extend((!granted).then(|| format!("USAGE of {schema}")));
    }
    for (table, right) in RIGHTS {
        let question = "select coalesce(has_table_privilege($1::name, to_regclass($2::text)::oid, $3::text), false)";
        let granted: bool = transaction.query_one(question, &[&ROLE, &table, &right]).await?.get(0);
        missing.extend((!granted).then(|| format!("{right} of {table}")));
    }
    Ok(if missing.is_empty() {
        Finding::ok(GRANTS, format!("{ROLE} may do what it has to"))
    } else {
        Finding::failed(GRANTS, format!("{ROLE} lacks {}", missing.join(", ")), APPLY)
    })
}

/// A role that does not pass row level security finds no rows, and nobody tells it so.
async fn row_security(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    if !yes(transaction, "select relrowsecurity from pg_class where oid = 'notify.ent_notification'::regclass").await? {
        return Ok(Finding::ok(ROW_SECURITY, "it is off"));
    }
    let passes =
        format!("select coalesce(bool_or(rolbypassrls or rolsuper), false) from pg_roles where rolname = '{ROLE}'");
    Ok(if yes(transaction, &passes).await? {
        Finding::ok(ROW_SECURITY, format!("{ROLE} passes it"))
    } else {
        let what = format!("{ROLE} does not pass it: rows its policies hide are never sent, without an error");
        Finding::warning(
            ROW_SECURITY,
            what,
            format!("alter role {ROLE} bypassrls, unless its policies allow every row"),
        )
    })
}

async fn publication(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    let question = "select exists (select from pg_publication_tables \
         where pubname = 'supabase_realtime' and schemaname = 'notify' and tablename = 'ent_notification')";
    Ok(if yes(transaction, question).await? {
        Finding::ok(PUBLICATION, "supabase_realtime has the table")
    } else {
        let what = "supabase_realtime does not have notify.ent_notification: only the sweep finds rows";
        Finding::failed(PUBLICATION, what, APPLY)
    })
}

async fn replica_identity(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    let question = "select relreplident::text from pg_class where oid = 'notify.ent_notification'::regclass";
    let identity: String = transaction.query_one(question, &[]).await?.get(0);
    Ok(match identity.as_str() {
        "d" => Finding::ok(REPLICA_IDENTITY, "the primary key"),
        "i" => Finding::ok(REPLICA_IDENTITY, "an index"),
        "f" => Finding::ok(REPLICA_IDENTITY, "the whole row; the primary key is enough for xnovu"),
        _ => Finding::failed(REPLICA_IDENTITY, "none: a published table without one refuses every UPDATE", APPLY),
    })
}

async fn indexes(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    let question = "select class.relname::text from pg_index index join pg_class class on class.oid = index.indexrelid \
         where index.indrelid = 'notify.ent_notification'::regclass and index.indisvalid";
    let there: Vec<String> = transaction.query(question, &[]).await?.iter().map(|row| row.get(0)).collect();
    let missing: Vec<&str> =
        SWEEP_INDEXES.into_iter().filter(|index| !there.iter().any(|name| name == index)).collect();
    Ok(if missing.is_empty() {
        Finding::ok(INDEXES, "the sweep has its indexes")
    } else {
        let what = format!("{} missing or not valid: the sweep reads the whole table", missing.join(" and "));
        Finding::failed(INDEXES, what, APPLY)
    })
}

/// An edit that leaves `updated_at` as it was is taken for the same version of the row.
async fn updated_at(transaction: &Transaction<'_>) -> Result<Finding, tokio_postgres::Error> {
    // Of the bits of a trigger's type, 2 is BEFORE and 16 UPDATE.
    let question = "select exists (select from pg_trigger where tgrelid = 'notify.ent_notification'::regclass \
         and not tgisinternal and tgenabled <> 'D' and tgtype & 16 <> 0 and tgtype & 2 <> 0)";
    Ok(if yes(transaction, question).await? {
        Finding::ok(UPDATED_AT, "a trigger sees every UPDATE")
    } else {
        let what = "no trigger sets it on UPDATE: an edit by somebody who does not set it may be missed";
        let hint = "psql \"$DATABASE_URL\" -f docker/sql/updated-at.sql, unless every writer sets it";
        Finding::warning(UPDATED_AT, what, hint)
    })
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{Host, SslMode};

    use super::*;

    #[test]
    fn a_url_for_other_programs_works_for_ours_and_what_is_none_is_refused() {
        let read =
            connection("postgresql://me:a%40b@db:6543/postgres?pgbouncer=true&sslmode=verify-full&schema=x").unwrap();
        assert_eq!((read.get_hosts(), read.get_ports()), (&[Host::Tcp("db".to_owned())][..], &[6543][..]));
        assert_eq!((read.get_password(), read.get_ssl_mode()), (Some(&b"a@b"[..]), SslMode::Require));
        let pairs = connection("host=db user=me").unwrap();
        assert_eq!(pairs.get_hosts(), [Host::Tcp("db".to_owned())]);
        assert!(connection("mysql://me@db").is_none());
    }
}
