//! The documentation does what it says: every command in it is run, and what it shows is compared.

use std::path::PathBuf;
use std::process::Command;

use crate::support::page::{Counts, Page};
use crate::support::{House, RedisServer, free_port};

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
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let counts = Page::of(&house, "docs/migrate.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 5, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_page_does_what_it_says() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_ADMIN_TOKEN", "a-token-for-the-operators-page");
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let page = Page::of(&house, "docs/operate.md", free_port()).replacing("3002", free_port());
    let counts = page.run().await;
    assert_eq!(counts, Counts { run: 11, not_run: 1 });
}
