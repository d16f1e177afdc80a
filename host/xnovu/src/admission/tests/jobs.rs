//! What a job is given, and what becomes of one whose row was taken back or is stuck.

use super::*;

#[tokio::test]
async fn a_job_has_the_priority_and_the_attempts_of_its_enterprise() {
    let set = |id: &str, priority: &str| {
        let mut layers = Layers::default();
        let settings = [
            ("NEXT_PUBLIC_SUPABASE_URL", "http://localhost"),
            ("SUPABASE_SERVICE_ROLE_KEY", "k"),
            ("NOVU_SECRET_KEY", "k"),
            (&format!("ENT_{id}_REALTIME_PRIORITY"), priority),
            (&format!("ENT_{id}_RETRY_ATTEMPTS"), "7"),
        ];
        settings.iter().for_each(|(name, value)| layers.set(name, value, Layer::Environment));
        PerEnterprise::clone(&Config::read(&layers).unwrap().per_enterprise)
    };
    let folded = ENTERPRISE.replace('-', "_").to_uppercase();
    for (settings, priority, attempts) in [(set(&folded, "900"), 900, 7), (set("another", "900"), 10, 3)] {
        let bench = Bench::with(settings, |_, _| ruled(DELIVER)).await;
        let mut steps = bench.trail.watch();
        let id = bench.insert(json!({}));
        bench.hint(id).await;
        let What::Offered { priority: offered, .. } = steps.recv().await.unwrap().what else { panic!("not offered") };
        assert_eq!(offered.get(), priority);
        let taken = Taken::default();
        let (work, stop) = (Arc::new(taken.clone()), CancellationToken::new());
        let options = WorkOptions { concurrency: 1, grace: Duration::from_secs(5) };
        let working = bench.queue.work(options, work, stop.clone());
        let (_, ended) = tokio::join!(
            async {
                until("the job is taken", async || taken.0.lock().unwrap().is_some()).await;
                stop.cancel();
            },
            working
        );
        ended.unwrap();
        assert_eq!(*taken.0.lock().unwrap(), Some(attempts));
    }
}

/// Keeps the attempts of the job it was given.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Option<u32>>>);

#[async_trait]
impl Work for Taken {
    async fn perform(&self, job: Job) -> Outcome {
        *self.0.lock().unwrap() = Some(job.attempts_max);
        Outcome::Done("done".to_owned())
    }
}

#[tokio::test]
async fn hazard_14_a_row_retracted_while_it_waits_leaves_the_queue_and_is_marked() {
    let bench = Bench::new(|_, _| ruled(Verdict::Deliver { priority: Some(Priority::MAX) })).await;
    let id = bench.insert(json!({}));
    bench.hint(id).await;
    until("it is queued", async || bench.state(id).await == JobState::Waiting).await;
    let job = bench.row(id).await.job();
    // As after a claim whose attempt has ended: the row knows its job.
    bench.update(id, json!({"notification_status": "RETRACTED", "transaction_id": job.as_str()}));
    bench.hint(id).await;
    until("it is marked", async || !bench.raw(id)["error_details"]["cancelled"].is_null()).await;
    assert_eq!(bench.queue.state(&job).await.unwrap(), JobState::Missing);
}

#[tokio::test]
async fn hazard_5_a_row_whose_job_is_gone_is_offered_again_and_given_up_the_third_time() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let id = bench.insert(json!({}));
    let job = format!("xn-{ENTERPRISE}-{id}-5");
    let stuck =
        json!({"notification_status": "PROCESSING", "transaction_id": job, "processed_at": "2026-01-01T00:00:00Z"});
    for reaps in 1..=2 {
        bench.update(id, stuck.clone());
        bench.sweep(vec![bench.row(id).await], Via::Reap).await;
        let job = job.parse().unwrap();
        until("its job is back", async || bench.queue.state(&job).await.unwrap() == JobState::Waiting).await;
        assert_eq!(bench.raw(id)["error_details"]["reaped"], reaps);
        assert!(bench.queue.remove(&job).await.unwrap());
    }
    bench.sweep(vec![bench.row(id).await], Via::Reap).await;
    until("it is given up", async || bench.raw(id)["notification_status"] == "FAILED").await;
    assert_eq!(bench.raw(id)["error_details"]["stage"], "reaper");
}

#[tokio::test]
async fn a_stuck_row_of_another_sender_is_left_alone() {
    let bench = Bench::new(|_, _| ruled(DELIVER)).await;
    let theirs = json!({"notification_status": "PROCESSING", "transaction_id": "txn_theirs", "processed_at": "2026-01-01T00:00:00Z"});
    let id = bench.insert(theirs);
    let before = bench.raw(id);
    bench.sweep(vec![bench.row(id).await], Via::Reap).await;
    bench.settle_down().await;
    assert_eq!(bench.raw(id), before);
}
