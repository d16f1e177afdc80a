//! Jobs as an operator sees and mends them.

use serde_json::{Value, json};
use xnovu_standin::{Effect, ErrorBody, Options};

use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, until};

/// Exit code of settings that are missing or wrong.
const EXIT_SETTINGS: i32 = 64;

/// Exit code of a command line that is wrong.
const EXIT_USAGE: i32 = 2;

/// Novu refuses for good.
fn refuse(house: &House) {
    house.break_novu(Effect::Status {
        status: 422,
        body: ErrorBody::Json,
        retry_after_s: None,
        behind_idempotency: false,
    });
}

async fn failed(house: &House, filter: &[&str]) -> Vec<Value> {
    let arguments = [&["queue", "failed", "--output", "json"], filter].concat();
    house.run(&arguments).await.succeeded().json().as_array().unwrap().clone()
}

async fn status(house: &House) -> Value {
    let told = house.run(&["queue", "status", "--output", "json"]).await.succeeded().json();
    told.as_array().unwrap().iter().find(|one| one["queue"] == "notification-processing").unwrap().clone()
}

async fn until_failed(house: &House, count: usize) -> Vec<Value> {
    until(&format!("{count} jobs have failed"), async || {
        let jobs = failed(house, &[]).await;
        if jobs.len() == count { Ok(jobs) } else { Err(format!("{jobs:?}")) }
    })
    .await
}

fn ids(jobs: &[Value]) -> Vec<String> {
    jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

/// What both queues promise: failed jobs are shown, and a retry sends the rows that were settled FAILED.
async fn failed_jobs_are_mended(house: &House) {
    refuse(house);
    let rows: Vec<i64> = [0, 0, 0, 1].map(|at| house.insert(json!({"enterprise_id": ENTERPRISES[at]}))).to_vec();
    house.until_all(&rows, "FAILED").await;
    let jobs = until_failed(house, 4).await;
    for job in &jobs {
        assert_eq!((&job["attempts"], &job["attempts_max"]), (&json!(1), &json!(3)), "{job}");
        assert!(job["reason"].as_str().unwrap().contains("422"), "{job}");
        assert!(!job["at"].as_str().unwrap().is_empty(), "{job}");
    }
    assert_eq!(status(house).await["failed"], 4);
    let of_the_second = failed(house, &["--enterprise", ENTERPRISES[1]]).await;
    assert_eq!((of_the_second.len(), &of_the_second[0]["enterprise"]), (1, &json!(ENTERPRISES[1])));
    assert_eq!(failed(house, &["--reason", "422", "--limit", "2"]).await, jobs[..2]);
    assert_eq!(failed(house, &["--reason", "no such reason"]).await, Vec::<Value>::new());
    let table = house.run(&["queue", "failed"]).await.succeeded().stdout;
    assert_eq!(table.lines().count(), 5, "{table}");

    house.mend();
    let one = ids(&of_the_second).remove(0);
    let unclear = house.run(&["queue", "retry"]).await;
    assert_eq!(unclear.code, Some(EXIT_USAGE));
    assert!(unclear.stderr.contains("--enterprise"), "{unclear:?}");
    house.run(&["queue", "retry", &one]).await.succeeded();
    house.until_status(rows[3], "SENT").await;
    let gone = house.run(&["queue", "retry", &one]).await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains(&format!("no failed job {one}")), "{gone:?}");
    let ran = house.run(&["queue", "retry", "--enterprise", ENTERPRISES[0], "--output", "json"]).await.succeeded();
    assert_eq!(ran.json()["retried"].as_array().unwrap().len(), 3);
    house.until_all(&rows, "SENT").await;
    house.assert_sent_once(&rows);
    let none = house.run(&["queue", "retry", "--all"]).await.succeeded();
    assert!(none.stderr.contains("queued again: 0"), "{none:?}");
}

/// And a pause holds every worker.
async fn a_pause_holds(house: &House) {
    house.run(&["queue", "pause"]).await.succeeded();
    let rows = house.insert_plain(3);
    until("three jobs wait", async || {
        let told = status(house).await;
        if told["waiting"] == 3 && told["paused"] == true { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let told = status(house).await;
    assert_eq!((&told["active"], told["oldest_waiting"].is_string()), (&json!(0), true), "{told}");
    let table = house.run(&["queue", "status"]).await.succeeded().stdout;
    assert!(
        table.lines().any(|line| line.starts_with("notification-processing") && line.contains("paused")),
        "{table}"
    );
    house.run(&["queue", "resume"]).await.succeeded();
    house.until_all(&rows, "SENT").await;
    assert_eq!(status(house).await["paused"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_jobs_are_shown_and_a_retry_sends_their_rows_and_a_pause_holds_every_worker() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _daemon = house.daemon();
    let _worker = house.worker();
    failed_jobs_are_mended(&house).await;
    a_pause_holds(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_verbs_reach_a_queue_in_the_memory_of_a_daemon() {
    let house = House::with(None, Options::default()).await;
    let daemon = house.daemon();
    daemon.health().await;
    failed_jobs_are_mended(&house).await;
    a_pause_holds(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_of_the_queue_says_what_is_missing_and_needs_no_key() {
    let redis = RedisServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ask = async |environment: &[(&'static str, String)]| {
        let asked = Xnovu::start("verb", &["queue", "status"], dir.path(), environment, None);
        asked.ended().await
    };
    let url = ("REDIS_URL", redis.url());
    let (ended, output) = ask(std::slice::from_ref(&url)).await;
    assert_eq!(ended.code(), Some(EXIT_SETTINGS), "{output}");
    assert!(output.contains("QUEUE_PREFIX") && output.contains("hint"), "{output}");
    let (ended, output) = ask(&[url, ("QUEUE_PREFIX", "xnovu-nobody".to_owned())]).await;
    assert!(ended.success() && output.contains("notification-processing"), "{output}");
    let (ended, output) = ask(&[]).await;
    assert_eq!(ended.code(), Some(1), "{output}");
    assert!(output.contains("no daemon runs"), "{output}");
}

/// The commands of the page, in its order.
fn commands() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/queue.md");
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_on_the_queue_runs() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let _daemon = house.daemon();
    let mut background: Vec<Xnovu> = Vec::new();
    let mut ran = 0;
    for command in commands() {
        let words: Vec<String> = fill_in(&house, command.strip_prefix("xnovu ").expect("a command of ours")).await;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let stays = words[..2] == ["worker", "start"] || (words[..2] == ["worker", "scale"] && background.len() == 1);
        if stays {
            background.push(Xnovu::start("worker", &words, house.dir(), &house.environment(0), None));
            let count = if background.len() == 1 { 1 } else { 5 };
            until(&format!("{count} workers are listed"), async || {
                let workers = house.run(&["worker", "list", "--output", "json"]).await.json();
                if workers.as_array().unwrap().len() == count { Ok(()) } else { Err(workers.to_string()) }
            })
            .await;
        } else {
            let ended = house.run(&words).await;
            assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
        }
        ran += 1;
    }
    assert!(ran > 15, "only {ran} commands were found");
}

/// A command of the page with names that exist.
async fn fill_in(house: &House, command: &str) -> Vec<String> {
    let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        match word.as_str() {
            "ENTERPRISE" => *word = ENTERPRISES[0].to_owned(),
            "WORKER" => {
                let workers = house.run(&["worker", "list", "--output", "json"]).await.json();
                *word = workers[0]["id"].as_str().unwrap().to_owned();
            }
            "JOB" => {
                // The workers of the page have been stopped by now.
                let worker = house.worker();
                refuse(house);
                let row = house.insert(json!({}));
                house.until_status(row, "FAILED").await;
                *word = ids(&until_failed(house, 1).await).remove(0);
                house.mend();
                worker.stop().await;
            }
            _ => {}
        }
    }
    words
}
