//! What a lane holds, and what it may queue.

use super::*;

#[tokio::test]
async fn a_lane_is_bounded_in_hints_and_in_rows_and_notes_what_it_missed() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    let row = bench.row(id).await;
    let (sender, mut receiver) = mpsc::channel(crate::admission::LANE_HINTS_MAX);
    let rows = Arc::new(tokio::sync::Semaphore::new(crate::admission::LANE_ROWS_MAX));
    let door = crate::admission::Door { sender, rows, missed: Arc::default() };
    let page = |rows| Hint::Rows { enterprise: enterprise(), rows: vec![row.clone(); rows], via: Via::Sweep };
    assert!(door.admit(page(crate::admission::LANE_ROWS_MAX - 1)) && door.admit(page(1)));
    assert!(!door.missed.load(std::sync::atomic::Ordering::Relaxed));
    assert!(!door.admit(page(1)), "the rows are at their bound");
    assert!(door.missed.load(std::sync::atomic::Ordering::Relaxed));
    drop(receiver.recv().await);
    assert!(door.admit(page(500)), "room is given back with the page");
    let hint = || Hint::Id { enterprise: enterprise(), id, via: Via::Realtime, change: None };
    let entered = (0..crate::admission::LANE_HINTS_MAX + 10).filter(|_| door.admit(hint())).count();
    assert_eq!(entered, crate::admission::LANE_HINTS_MAX - 2, "two pages are in the lane");
}

#[tokio::test]
async fn under_pressure_an_enterprise_queues_its_allowance_and_in_a_full_queue_nothing() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let rows = async |count: usize| {
        let ids: Vec<NotificationId> = (0..count).map(|_| bench.insert(json!({}))).collect();
        bench.store.read(&enterprise(), &ids).await.unwrap().rows
    };
    let held_back = async |times: usize| {
        let line = format!("xnovu_discarded_total{{intentional=\"false\",reason=\"queue-full\"}} {times}\n");
        until("rows are left in the database", async || bench.metrics.text().contains(&line)).await;
    };
    bench.pressure.send_replace(Pressure::Full);
    bench.sweep(rows(10).await, Via::Sweep).await;
    held_back(1).await;
    assert_eq!(bench.waiting().await, 0);
    bench.pressure.send_replace(Pressure::High);
    bench.sweep(rows(1_500).await, Via::Sweep).await;
    held_back(2).await;
    bench.settle_down().await;
    let waiting = bench.waiting().await;
    assert!((1_000..1_400).contains(&waiting), "{waiting}");
}
