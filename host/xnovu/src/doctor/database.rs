//! The database itself, where `DATABASE_URL` leads to it: what no API tells.

use std::time::Duration;

use tokio_postgres::{Client, Config as Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Finding, chain};
use crate::config::Config;

/// What the checks are called, in the order in which they are told.
const CHECKS: [&str; 5] =
    ["database grants", "database publication", "database replica identity", "database indexes", "database updated_at"];

/// Longest wait for a connection, and for all answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What mends all of it.
const APPLY: &str = "psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 -f docker/sql/xnovu.sql";

/// The role of the service-role and secret keys.
const ROLE: &str = "service_role";

/// What the role needs, as table and right. The schema comes first.
const RIGHTS: [(&str, &str); 6] = [
    ("notify.ent_notification", "SELECT"),
    ("notify.ent_notification", "UPDATE"),
    ("notify.ent_notification", "INSERT"),
    ("notify.ent_notification_workflow", "SELECT"),
    ("notify.ent_notification_rule", "SELECT"),
    ("notify.typ_notification_category", "SELECT"),
];

const INDEXES: [&str; 2] = ["ent_notification_xnovu_status", "ent_notification_xnovu_retracted"];

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let Some(url) = &config.database_url else {
        return none("DATABASE_URL is not set");
    };
    let Ok(connection) = url.reveal().parse::<Connection>() else {
        return vec![Finding::fail(
            "database",
            "DATABASE_URL is no URL of PostgreSQL",
            "write it as postgresql://user:password@host:5432/postgres",
        )];
    };
    match tokio::time::timeout(PATIENCE, ask(&connection)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => {
            let hint = "check DATABASE_URL; a certificate of Supabase's own authority is trusted with SSL_CERT_FILE=prod-ca-2021.crt";
            vec![Finding::warn("database", format!("it cannot be asked: {error}"), hint)]
        }
        Err(_) => vec![Finding::warn(
            "database",
            format!("no answer within {PATIENCE:?}"),
            "check DATABASE_URL, and that this machine reaches it",
        )],
    }
}

fn none(why: &str) -> Vec<Finding> {
    CHECKS.map(|check| Finding::not_checked(check, why)).into()
}

/// Connects and asks. The connection ends with the questions.
async fn ask(settings: &Connection) -> Result<Vec<Finding>, String> {
    let tls = crate::store::http::tls().map_err(|error| chain(&error))?;
    let (client, connection) = settings.connect(MakeRustlsConnect::new(tls)).await.map_err(|error| chain(&error))?;
    tokio::select! {
        findings = questions(&client) => findings.map_err(|error| chain(&error)),
        ended = connection => Err(ended.err().map_or("the connection ended".to_owned(), |error| chain(&error))),
    }
}

async fn questions(client: &Client) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let there: bool = client.query_one("select to_regclass('notify.ent_notification') is not null", &[]).await?.get(0);
    if !there {
        let what = "there is no table notify.ent_notification";
        return Ok(vec![Finding::fail("database", what, "let DATABASE_URL lead to the database of the platform")]);
    }
    Ok(vec![
        grants(client).await?,
        publication(client).await?,
        replica_identity(client).await?,
        indexes(client).await?,
        updated_at(client).await?,
    ])
}

async fn grants(client: &Client) -> Result<Finding, tokio_postgres::Error> {
    let role: bool =
        client.query_one("select exists (select from pg_roles where rolname = $1)", &[&ROLE]).await?.get(0);
    if !role {
        return Ok(Finding::not_checked(CHECKS[0], format!("there is no role {ROLE}")));
    }
    let schema: bool = client.query_one("select has_schema_privilege($1, 'notify', 'USAGE')", &[&ROLE]).await?.get(0);
    let mut missing: Vec<String> = if schema { Vec::new() } else { vec!["USAGE of notify".to_owned()] };
    for (table, right) in RIGHTS {
        let question = "select coalesce(has_table_privilege($1, to_regclass($2), $3), false)";
        let granted: bool = client.query_one(question, &[&ROLE, &table, &right]).await?.get(0);
        missing.extend((!granted).then(|| format!("{right} of {table}")));
    }
    Ok(if missing.is_empty() {
        Finding::ok(CHECKS[0], format!("{ROLE} may do what it has to"))
    } else {
        Finding::fail(CHECKS[0], format!("{ROLE} lacks {}", missing.join(", ")), APPLY)
    })
}

async fn publication(client: &Client) -> Result<Finding, tokio_postgres::Error> {
    let question = "select exists (select from pg_publication_tables \
         where pubname = 'supabase_realtime' and schemaname = 'notify' and tablename = 'ent_notification')";
    let published: bool = client.query_one(question, &[]).await?.get(0);
    Ok(if published {
        Finding::ok(CHECKS[1], "supabase_realtime has the table")
    } else {
        Finding::fail(
            CHECKS[1],
            "supabase_realtime does not have notify.ent_notification: only the sweep finds rows",
            APPLY,
        )
    })
}

async fn replica_identity(client: &Client) -> Result<Finding, tokio_postgres::Error> {
    let question = "select relreplident::text from pg_class where oid = 'notify.ent_notification'::regclass";
    let identity: String = client.query_one(question, &[]).await?.get(0);
    Ok(match identity.as_str() {
        "d" => Finding::ok(CHECKS[2], "the primary key"),
        "i" => Finding::ok(CHECKS[2], "an index"),
        "f" => Finding::ok(CHECKS[2], "the whole row; the primary key is enough for xnovu"),
        _ => Finding::fail(CHECKS[2], "none: a published table without one refuses every UPDATE", APPLY),
    })
}

async fn indexes(client: &Client) -> Result<Finding, tokio_postgres::Error> {
    let question = "select class.relname::text from pg_index index join pg_class class on class.oid = index.indexrelid \
         where index.indrelid = 'notify.ent_notification'::regclass and index.indisvalid";
    let there: Vec<String> = client.query(question, &[]).await?.iter().map(|row| row.get(0)).collect();
    let missing: Vec<&str> = INDEXES.into_iter().filter(|index| !there.iter().any(|name| name == index)).collect();
    Ok(if missing.is_empty() {
        Finding::ok(CHECKS[3], "the sweep has its indexes")
    } else {
        let what = format!("{} missing: the sweep reads the whole table", missing.join(" and "));
        Finding::fail(CHECKS[3], what, APPLY)
    })
}

/// An edit that leaves `updated_at` as it was is taken for the same version of the row.
async fn updated_at(client: &Client) -> Result<Finding, tokio_postgres::Error> {
    let question = "select exists (select from pg_trigger where tgrelid = 'notify.ent_notification'::regclass \
         and not tgisinternal and tgenabled <> 'D' and tgtype & 16 <> 0 and tgtype & 2 <> 0)";
    let trigger: bool = client.query_one(question, &[]).await?.get(0);
    Ok(if trigger {
        Finding::ok(CHECKS[4], "a trigger sees every UPDATE")
    } else {
        let what = "no trigger sets it on UPDATE: an edit by somebody who does not set it may be missed";
        Finding::warn(
            CHECKS[4],
            what,
            "psql \"$DATABASE_URL\" -f docker/sql/updated-at.sql, unless every writer sets it",
        )
    })
}
