//! The pages about trouble and about containers: what can be run of them is run.

use crate::support::page::{Counts, Page};
use crate::support::{House, RedisServer, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_about_trouble_works() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let counts = Page::of(&house, "docs/troubleshoot.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 8, not_run: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_of_the_page_about_containers_claims_to_be_tested() {
    let house = House::with(None, xnovu_standin::Options::default()).await;
    let counts = Page::of(&house, "docker/README.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 0, not_run: 10 });
}
