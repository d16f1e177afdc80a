//! Notifications that are special from the beginning, one kind at a time. The long run has them all at once.

use serde_json::json;
use xnovu_standin::WorkflowState;

use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, in_seconds, own_workflow, subscriber};

/// A running line.
struct Line {
    house: House,
    daemon: Xnovu,
    _worker: Xnovu,
    _redis: RedisServer,
}

impl Line {
    async fn start() -> Self {
        let redis = RedisServer::start().await;
        let house = House::on(&redis).await;
        let (daemon, worker) = (house.daemon(), house.worker());
        daemon.until_subscribed().await;
        Self { house, daemon, _worker: worker, _redis: redis }
    }

    /// Asserts that nothing becomes of a row although the daemon has heard of it: a row that came later was sent, and the sweep has been
    /// round.
    async fn assert_left_alone(&self, id: i64) {
        let later = self.house.insert_plain(1);
        self.house.until_all(&later, "SENT").await;
        self.daemon.until_swept_again().await;
        self.house.assert_untouched(id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_is_not_sent_until_it_is_published() {
    let line = Line::start().await;
    let draft = line.house.insert(json!({"publish_status": "DRAFT"}));
    line.assert_left_alone(draft).await;
    line.house.update(draft, json!({"publish_status": "PUBLISH"}));
    line.house.until_status(draft, "SENT").await;
    assert_eq!(line.house.deliveries(draft).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_row_is_not_sent_until_it_is_activated() {
    let line = Line::start().await;
    let asleep = line.house.insert(json!({"deactivated": true}));
    line.assert_left_alone(asleep).await;
    line.house.update(asleep, json!({"deactivated": false}));
    line.house.until_status(asleep, "SENT").await;
    assert_eq!(line.house.deliveries(asleep).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_scheduled_is_sent_once_and_not_before_its_time() {
    let line = Line::start().await;
    let (soon, far) = (in_seconds(2), in_seconds(3_600));
    let (soon_id, far_id) =
        (line.house.insert(json!({"scheduled_for": soon})), line.house.insert(json!({"scheduled_for": far})));
    line.house.until_status(soon_id, "SENT").await;
    line.house.assert_sent_once(&[soon_id]);
    let due = chrono::DateTime::parse_from_rfc3339(&soon).unwrap().timestamp_millis();
    assert!(line.house.deliveries(soon_id)[0].at_ms >= due, "sent before its time");
    line.house.assert_untouched(far_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_and_fifty_recipients_are_reached_once_each_by_three_calls() {
    let line = Line::start().await;
    let everybody: Vec<String> = (0..250).map(subscriber).collect();
    let crowd = line.house.insert(json!({"recipients": everybody}));
    line.house.until_status(crowd, "SENT").await;
    line.house.assert_sent_once(&[crowd]);
    let mut calls: Vec<usize> = line.house.deliveries(crowd).iter().map(|call| call.recipients.len()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [50, 100, 100]);
    assert_eq!(line.house.row(crowd)["error_details"]["novu_transaction_ids"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_workflow_does_not_exist_fails_with_that_reason_and_no_other_does() {
    let line = Line::start().await;
    let unknown = own_workflow("nowhere", ENTERPRISES[0]);
    line.house.state().set_workflow(&unknown, WorkflowState::Unknown);
    let (lost, plain) = (line.house.insert(json!({"workflow_key": unknown})), line.house.insert_plain(1));
    line.house.until_status(lost, "FAILED").await;
    line.house.until_all(&plain, "SENT").await;
    let why = line.house.row(lost)["error_details"]["error"].as_str().unwrap().to_owned();
    assert!(why.contains("workflow_not_found"), "{why}");
    line.house.assert_sent_once(&plain);
}
