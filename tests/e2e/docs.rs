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
async fn the_operators_page_does_what_it_says() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_ADMIN_TOKEN", "a-token-for-the-operators-page");
    let _cleared = Cleared(house.dir().join(".xnovu"));
    let page = Page::of(&house, "docs/operate.md", free_port()).replacing("3002", free_port());
    let counts = page.run().await;
    assert_eq!(counts, Counts { run: 11, not_run: 1 });
}
