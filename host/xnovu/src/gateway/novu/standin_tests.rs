//! The gateway against a Novu that answers, replays and refuses as the hosted one does.

use serde_json::json;
use xnovu_domain::{Disposition, disposition};
use xnovu_standin::{
    Effect, ErrorBody, Face, Faults, HttpFault, NovuFaults, Options, Standin, StandinConfig, WorkflowState,
};

use super::*;
use crate::config::Secret;
use crate::gateway::Pause;

const WORKFLOW: &str = "welcome";

struct Bench {
    standin: Standin,
    gateway: NovuGateway,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Options::default(), "standin-novu-key").await
    }

    async fn with(options: Options, key: &str) -> Self {
        let standin = Standin::start(StandinConfig { options, ..StandinConfig::default() }).await.unwrap();
        standin.state().set_workflow(WORKFLOW, WorkflowState::Active);
        let novu = Novu { url: standin.url(), key: Secret::new(key), timeout: Duration::from_secs(5) };
        Self { gateway: NovuGateway::new(&novu).unwrap(), standin }
    }

    async fn trigger(&self, call: &TriggerCall) -> (Disposition, TriggerResult) {
        let result = self.gateway.trigger(call).await;
        (disposition(&result.answer, self.gateway.outage()), result)
    }

    fn next_request(&self, effect: Effect) {
        let fault = HttpFault { count: Some(1), ..HttpFault::new(Face::Novu, effect) };
        self.standin.state().set_faults(Faults { http: vec![fault], ..Faults::default() });
    }
}

fn call(workflow: &str, transaction_id: &str, generation: u32) -> TriggerCall {
    let body =
        json!({"name": workflow, "to": [{"subscriberId": "u1"}], "payload": {}, "transactionId": transaction_id});
    TriggerCall {
        body: body.to_string(),
        transaction_id: transaction_id.to_owned(),
        idempotency_key: format!("{transaction_id}-g{generation}"),
    }
}

#[tokio::test]
async fn an_accepted_trigger_arrives_byte_for_byte() {
    let bench = Bench::start().await;
    let call = call(WORKFLOW, "xn-e-7-5-m0-c0", 0);
    let (disposition, result) = bench.trigger(&call).await;
    assert_eq!((disposition, result.transaction_id.as_deref()), (Disposition::Accepted, Some("xn-e-7-5-m0-c0")));
    let delivery = bench.standin.state().deliveries(0).remove(0);
    assert_eq!((delivery.body, delivery.idempotency_key), (call.body, Some(call.idempotency_key)));
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_asked_again_under_its_key_and_delivered_once() {
    let bench = Bench::start().await;
    bench.next_request(Effect::Cut);
    let call = call(WORKFLOW, "t", 0);
    let (lost, _) = bench.trigger(&call).await;
    assert_eq!(lost, Disposition::Postpone { next_generation: false, uncertain: true });
    assert_eq!(bench.trigger(&call).await.0, Disposition::Accepted);
    assert_eq!(bench.standin.state().stats().novu.delivered, 1);
}

#[tokio::test]
async fn an_error_novu_has_kept_is_recognized_and_passed_by_the_next_generation() {
    let bench = Bench::start().await;
    let effect = Effect::Status { status: 422, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: true };
    bench.next_request(effect);
    assert_eq!(bench.trigger(&call(WORKFLOW, "t", 0)).await.0, Disposition::Refused);
    let (replayed, result) = bench.trigger(&call(WORKFLOW, "t", 0)).await;
    assert!(matches!(result.answer, Answer::Http { replayed: true, .. }), "{result:?}");
    assert_eq!(replayed, Disposition::Retry);
    assert_eq!(bench.trigger(&call(WORKFLOW, "t", 1)).await.0, Disposition::Accepted);
}

#[tokio::test]
async fn a_workflow_that_cannot_run_is_refused_whatever_the_http_status() {
    let bench = Bench::start().await;
    let (unknown, result) = bench.trigger(&call("nobody-knows", "t1", 0)).await;
    assert_eq!((unknown, result.detail.as_deref()), (Disposition::Refused, Some("workflow_not_found")));
    for (index, state) in
        [WorkflowState::Inactive, WorkflowState::NoSteps, WorkflowState::NoActiveSteps].into_iter().enumerate()
    {
        bench.standin.state().set_workflow(WORKFLOW, state);
        let (refused, result) = bench.trigger(&call(WORKFLOW, &format!("t-{index}"), 0)).await;
        assert!(matches!(result.answer, Answer::Http { status: 201, .. }), "{result:?}");
        assert_eq!(refused, Disposition::Refused);
    }
}

#[tokio::test]
async fn an_unknown_word_counts_as_accepted_and_an_error_word_as_none() {
    let bench = Bench::start().await;
    for (word, want) in [("queued_elsewhere", Disposition::Accepted), ("error", Disposition::Retry)] {
        let novu = NovuFaults { status_word: Some(word.to_owned()), ..NovuFaults::default() };
        bench.standin.state().set_faults(Faults { novu, ..Faults::default() });
        assert_eq!(bench.trigger(&call(WORKFLOW, word, 0)).await.0, want, "{word}");
    }
}

#[tokio::test]
async fn a_wrong_key_locks_the_gateway() {
    let bench = Bench::with(Options::default(), "wrong").await;
    assert_eq!(bench.trigger(&call(WORKFLOW, "t", 0)).await.0, Disposition::Locked);
    assert_eq!(bench.gateway.permit().map(drop).unwrap_err().reason, Pause::Locked);
}

#[tokio::test]
async fn novus_rate_limit_closes_the_gateway_before_or_with_the_first_refusal() {
    let options = Options { novu_requests_per_second: Some(2), ..Options::default() };
    let bench = Bench::with(options, "standin-novu-key").await;
    let mut calls = 0;
    while bench.gateway.permit().is_ok() {
        calls += 1;
        assert!(calls < 100, "the rate limit never showed");
        bench.trigger(&call(WORKFLOW, &format!("t-{calls}"), 0)).await;
    }
    assert_eq!(bench.gateway.permit().map(drop).unwrap_err().reason, Pause::RateLimited);
}

#[tokio::test]
async fn what_is_cancelled_is_cancelled_once() {
    let bench = Bench::start().await;
    bench.trigger(&call(WORKFLOW, "t", 0)).await;
    bench.gateway.cancel("t").await.unwrap();
    assert!(bench.standin.state().deliveries(0)[0].cancelled);
    assert_eq!(bench.gateway.cancel("never-sent").await.unwrap(), Cancelled::NothingPending);
}
