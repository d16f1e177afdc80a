//! The trace of a notification, as a collector gets it from the daemon and the worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use crate::support::plugins::bind_priority_desk;
use crate::support::{ENTERPRISES, House, RedisServer, until};

const PAYLOAD: &str = "planted-in-payload";

/// Keeps every span it gets. Refuses who does not bring the header.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    resources: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Collector {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        #[expect(clippy::disallowed_methods, reason = "the collector is no part of the program")]
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        format!("http://{address}")
    }

    /// The spans of the notification, by the name of each, once they are these.
    async fn until_traced(&self, notification: i64, names: &[&str]) -> Vec<Span> {
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        until(&format!("{notification} is traced"), async || {
            let spans: Vec<Span> =
                self.spans.lock().unwrap().iter().filter(|span| is_of(span, notification)).cloned().collect();
            let got: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            if got == wanted { Ok(()) } else { Err(format!("{got:?}")) }
        })
        .await;
        self.spans.lock().unwrap().iter().filter(|span| is_of(span, notification)).cloned().collect()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.get("x-team").is_none_or(|value| value != "night") {
        return StatusCode::UNAUTHORIZED;
    }
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    collector.bytes.lock().unwrap().extend_from_slice(&body);
    let said = request.resource_spans.iter().filter_map(|spans| spans.resource.as_ref());
    let said = said.map(|resource| {
        let pair = |one: &KeyValue| {
            (one.key.clone(), format!("{:?}", one.value.as_ref().and_then(|value| value.value.as_ref())))
        };
        resource.attributes.iter().map(pair).collect()
    });
    collector.resources.lock().unwrap().extend(said);
    let resources = request.resource_spans.into_iter();
    let spans = resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
    collector.spans.lock().unwrap().extend(spans);
    StatusCode::OK
}

fn is_of(span: &Span, notification: i64) -> bool {
    attribute(span, "notification_id").is_some_and(|value| value.contains(&format!("IntValue({notification})")))
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    Some(format!("{:?}", found.value.as_ref()?.value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_one_trace_from_the_row_to_novu_through_the_queue_and_says_nothing_of_its_content() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let collector = Collector::default();
    house.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.start().await);
    house.set("OTEL_EXPORTER_OTLP_HEADERS", "x-team=night, x-other=1");
    // From a file: what only the environment had would be read without us.
    std::fs::write(house.dir().join(".env"), "OTEL_RESOURCE_ATTRIBUTES=team=night,deployment.environment.name=test\n")
        .unwrap();
    // One look at each row.
    house.set("XNOVU_SWEEP_INTERVAL", 3_600_000);
    bind_priority_desk(&house);
    let (daemon, worker) = (house.daemon(), house.worker());
    daemon.until_subscribed().await;
    let sent = house.insert(json!({"enterprise_id": ENTERPRISES[1], "payload": {"text": PAYLOAD}}));
    let dropped =
        house.insert(json!({"enterprise_id": ENTERPRISES[1], "tags": ["promo"], "payload": {"text": PAYLOAD}}));
    house.until_status(sent, "SENT").await;
    house.until_status(dropped, "RETRACTED").await;
    // What has not left yet leaves at the end of the processes.
    daemon.stop().await;
    worker.stop().await;

    let all = ["notification", "admit", "offer", "deliver", "claim", "decide", "trigger", "settle"];
    let spans = collector.until_traced(sent, &all).await;
    let traces: BTreeSet<&Vec<u8>> = spans.iter().map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
    let by_name: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let root = by_name["notification"];
    assert!(root.parent_span_id.is_empty(), "{root:?}");
    for name in &all[1..] {
        assert_eq!(by_name[name].parent_span_id, root.span_id, "{name}");
    }
    let order: Vec<u64> = all[1..].iter().map(|name| by_name[name].start_time_unix_nano).collect();
    assert!(order.is_sorted() && root.start_time_unix_nano <= order[0], "{spans:#?}");
    let row = house.row(sent);
    assert_eq!(
        attribute(root, "job_id"),
        Some(format!("Some(StringValue({:?}))", row["transaction_id"].as_str().unwrap()))
    );
    assert_eq!(attribute(by_name["admit"], "verdict"), Some("Some(StringValue(\"deliver\"))".to_owned()));
    assert_eq!(attribute(by_name["trigger"], "http.response.status_code"), Some("Some(IntValue(201))".to_owned()));
    collector.until_traced(dropped, &["notification", "admit"]).await;

    let said = collector.resources.lock().unwrap().clone();
    let distinct = |name: &str| said.iter().map(|resource| resource[name].clone()).collect::<BTreeSet<String>>();
    assert_eq!(distinct("xnovu.role").len(), 2, "{said:?}");
    assert_eq!(distinct("service.instance.id").len(), 2, "{said:?}");
    for (name, value) in [("service.name", "xnovu"), ("team", "night"), ("deployment.environment.name", "test")] {
        assert_eq!(distinct(name), BTreeSet::from([format!("Some(StringValue({value:?}))")]), "{said:?}");
    }

    let bytes = collector.bytes.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("transaction_id") || text.contains(row["transaction_id"].as_str().unwrap()));
    for secret in [PAYLOAD, "5ec4e700", "the desk drops", "PLANTED"] {
        assert!(!text.contains(secret), "{secret} is in the spans");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_delays_nobody() {
    let mut house = House::with(None, xnovu_standin::Options::default()).await;
    house.set("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", crate::support::free_port()));
    let daemon = house.daemon();
    let ids = house.insert_plain(20);
    house.until_all(&ids, "SENT").await;
    let output = daemon.stop().await;
    assert_eq!(output.matches("does not take spans").count(), 1, "{output}");
}
