//! The documentation does what it says: every command in it is run, and what it shows is compared.

use std::fs;

use std::path::PathBuf;
use std::process::Command;

use crate::support::page::{Counts, Page};
use crate::support::postgres::PostgresServer;
use crate::support::{House, RedisServer, free_port};

/// Where a reader has `path/to/xnovu`.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Ends the daemons that a page has detached.
struct Cleared(PathBuf);

impl Drop for Cleared {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "pid") {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                // The test of a dead process has no more to clear.
                let _ = Command::new("kill").args(["-KILL", pid.trim()]).output();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_rules_by_the_clock_does_what_it_says() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let counts = Page::of(&house, "docs/cron.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 1, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_migration_does_what_it_says() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start().await);
    let mut house = House::on(&redis).await;
    house.set("DATABASE_URL", postgres.url());
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let page = Page::of(&house, "docs/migrate.md", free_port()).replacing("path/to/xnovu", CHECKOUT);
    assert_eq!(page.run().await, Counts { run: 6, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_page_does_what_it_says() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_ADMIN_TOKEN", "a-token-for-the-operators-page");
    // A directory that is named must say who has rules: here nobody.
    fs::create_dir_all(house.plugins()).unwrap();
    fs::write(house.plugins().join("bindings.toml"), "").unwrap();
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let page = Page::of(&house, "docs/operate.md", free_port()).replacing("3002", free_port());
    let counts = page.run().await;
    assert_eq!(counts, Counts { run: 14, not_run: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_recovery_does_what_it_says_and_what_was_sent_before_an_old_copy_is_not_sent_again() {
    let (mut redis, postgres) = (RedisServer::start().await, PostgresServer::start().await);
    let mut house = House::on(&redis).await;
    house.set("DATABASE_URL", postgres.url());
    let (mut daemon, mut worker) = (Some(house.daemon()), Some(house.worker()));
    let copied = house.insert_plain(5);
    house.until_all(&copied, "SENT").await;
    let page = Page::of(&house, "docs/backup.md", free_port());
    let page = page.replacing("6380", free_port()).replacing("path/to/xnovu", CHECKOUT);
    let mut since = Vec::new();
    let counts = page.run_between(async |block| match block {
        1 => {
            // The copy gets old; then Redis is lost.
            let later = house.insert_plain(5);
            house.until_all(&later, "SENT").await;
            daemon.take().unwrap().stop().await;
            worker.take().unwrap().stop().await;
            redis.kill();
            since = [later, house.insert_plain(5)].concat();
        }
        5 => house.until_all(&since, "SENT").await,
        _ => {}
    });
    assert_eq!(counts.await, Counts { run: 6, not_run: 0 });
    house.assert_sent_once(&[copied, since].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_settings_does_what_it_says() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let counts = Page::of(&house, "docs/configuration.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 2, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_the_doctor_does_what_it_says() {
    let redis = RedisServer::with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let house = House::on(&redis).await;
    let counts = Page::of(&house, "docs/doctor.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 2, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorial_leads_from_an_empty_directory_to_a_rule_that_is_exchanged_while_it_runs() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let page = Page::of(&house, "docs/tutorial.md", free_port()).for_an_author().replacing("54321", free_port());
    let counts = page.run().await;
    assert_eq!(counts, Counts { run: 15, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_installing_does_what_it_says() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start().await);
    let mut house = House::on(&redis).await;
    house.set("DATABASE_URL", postgres.url());
    let page = Page::of(&house, "docs/install.md", free_port()).replacing("path/to/xnovu", CHECKOUT);
    let page = page.replacing("cargo build", "true").replacing("target/release/xnovu", env!("CARGO_BIN_EXE_xnovu"));
    assert_eq!(page.run().await, Counts { run: 7, not_run: 1 });
}
