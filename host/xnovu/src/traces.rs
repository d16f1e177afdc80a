//! Traces of notifications: one trace each, from the row to Novu's answer, through the queue.
//!
//! Owns how the daemon and the workers meet in one trace without a word in the queue: the trace's id and that of its first span are made of
//! the job's id, which both know. Off unless a collector is named. Spans are sent in batches by a thread of their own; a collector that is
//! gone or slow costs spans, never a notification. Attributes are ids, counts and words of ours: never a payload, a recipient or a reason.

mod export;

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
pub use opentelemetry::trace::SpanKind;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider};
use sha2::{Digest, Sha256};
use xnovu_domain::{JobId, Micros};

use crate::config::Tracing;

/// How long the last spans may take to leave at the end of a process.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Where spans go; nowhere unless a collector is named. Clones are the same.
#[derive(Clone, Default)]
pub struct Traces(Option<On>);

#[derive(Clone)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Traces {
    /// Sends spans to the collector of the settings. `role` is what this process is, `daemon` or `worker`. Needs a running tokio.
    ///
    /// # Errors
    /// The settings make no exporter.
    pub fn to(settings: &Tracing, role: &'static str) -> anyhow::Result<Self> {
        let exporter = export::exporter(settings).context("opening the way to the collector of traces")?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_id_generator(Ids::default())
            // By the trace's id alone, so that daemon and workers choose the same traces.
            .with_sampler(Sampler::TraceIdRatioBased(f64::from(settings.percent) / 100.0))
            .with_resource(resource(settings, role))
            .build();
        let tracer = provider.tracer("xnovu");
        Ok(Self(Some(On { provider, tracer })))
    }

    /// The first span of a job's trace, from the row's last change until now. Everything else in the trace is beneath it.
    pub fn root(&self, job: &JobId, outcome: &'static str) {
        let Some(on) = &self.0 else { return };
        let (trace, span) = ids(job);
        let builder = SpanBuilder::from_name("notification")
            .with_kind(SpanKind::Internal)
            .with_start_time(system_time(job.episode()))
            .with_attributes(attributes(job));
        let mut root = Ids::given(trace, span, || on.tracer.build_with_context(builder, &Context::new()));
        root.set_attribute(KeyValue::new("outcome", outcome));
        root.end();
    }

    /// A span beneath the first one of the job's trace. It ends when it is dropped.
    #[must_use]
    pub fn span(&self, job: &JobId, name: &'static str) -> Span {
        self.span_of(job, name, SpanKind::Internal)
    }

    /// The same, of that kind.
    #[must_use]
    pub fn span_of(&self, job: &JobId, name: &'static str, kind: SpanKind) -> Span {
        let span = self.0.as_ref().map(|on| {
            let (trace, parent) = ids(job);
            let parent = SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, TraceState::NONE);
            let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes(job));
            on.tracer.build_with_context(builder, &Context::new().with_remote_span_context(parent))
        });
        Span(span)
    }

    /// Sends what has not left yet. For the end of a process: blocks for up to five seconds.
    pub fn finish(&self) {
        let Some(on) = &self.0 else { return };
        let ended = tokio::task::block_in_place(|| on.provider.shutdown_with_timeout(FLUSH_PATIENCE));
        if let Err(error) = ended {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Who speaks. What the operator says of it outranks what the process says itself.
fn resource(settings: &Tracing, role: &'static str) -> Resource {
    let instance = format!("{}-{}", crate::worker::host(), std::process::id());
    let own = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance),
        ("xnovu.role", role.to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| KeyValue::new(name, value));
    let given = settings.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    // Not `builder()`, which reads the environment itself.
    Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(given)
        .with_attribute(KeyValue::new("service.name", settings.service.clone()))
        .build()
}

/// A span under way.
pub struct Span(Option<opentelemetry_sdk::trace::Span>);

impl Span {
    /// Notes something about it: a number or a word of ours.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks it as failed.
    pub fn fail(&mut self, word: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(word));
        }
    }
}

fn attributes(job: &JobId) -> Vec<KeyValue> {
    vec![
        KeyValue::new("enterprise_id", job.enterprise().as_str().to_owned()),
        KeyValue::new("notification_id", job.notification().get()),
        KeyValue::new("job_id", job.as_str().to_owned()),
    ]
}

/// The ids of a job's trace and of its first span.
fn ids(job: &JobId) -> (TraceId, SpanId) {
    let hash: [u8; 32] = Sha256::digest(job.as_str()).into();
    let (trace, rest) = hash.split_at(16);
    let word = |bytes: &[u8]| bytes.iter().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
    let span = u64::try_from(word(&rest[..8])).unwrap_or(1);
    (TraceId::from(word(trace)), SpanId::from(span))
}

fn system_time(at: Micros) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.get()).unwrap_or(0))
}

/// Random ids, but for a span that is given its own.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

thread_local! {
    static GIVEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

impl Ids {
    /// Makes one span with these ids. Making one is synchronous, so no other span of this thread can take them.
    fn given<T>(trace: TraceId, span: SpanId, make: impl FnOnce() -> T) -> T {
        GIVEN.set(Some((trace, span)));
        let made = make();
        GIVEN.set(None);
        made
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        GIVEN.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;

    fn job(text: &str) -> JobId {
        text.parse().unwrap()
    }

    #[test]
    fn a_job_has_one_trace_wherever_it_is_asked_for_and_no_other_job_has_it() {
        let (one, again, other) = (ids(&job("xn-ent1-7-5")), ids(&job("xn-ent1-7-5")), ids(&job("xn-ent1-7-6")));
        assert_eq!(one, again);
        assert_ne!(one.0, other.0);
        assert!(one.0 != TraceId::INVALID && one.1 != SpanId::INVALID);
    }

    #[test]
    fn spans_of_two_processes_meet_beneath_the_first() {
        let kept = InMemorySpanExporter::default();
        let process = || {
            let provider = SdkTracerProvider::builder()
                .with_simple_exporter(kept.clone())
                .with_id_generator(Ids::default())
                .with_sampler(Sampler::TraceIdRatioBased(1.0))
                .build();
            Traces(Some(On { tracer: provider.tracer("xnovu"), provider }))
        };
        let job = job("xn-ent1-7-5");
        // The exporter forgets its spans when a process ends.
        let (daemon, worker) = (process(), process());
        daemon.root(&job, "queued");
        drop(worker.span(&job, "claim"));
        let spans = kept.get_finished_spans().unwrap();
        let [root, claim] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((root.name.as_ref(), root.parent_span_id), ("notification", SpanId::INVALID));
        assert_eq!(claim.parent_span_id, root.span_context.span_id());
        assert_eq!(claim.span_context.trace_id(), root.span_context.trace_id());
        assert_ne!(claim.span_context.span_id(), root.span_context.span_id());
        assert_eq!(root.start_time, UNIX_EPOCH + Duration::from_micros(5));
    }

    #[test]
    fn without_a_collector_nothing_is_made() {
        let mut span = Traces::default().span(&job("xn-ent1-7-5"), "claim");
        span.set("attempt", 1_i64);
        assert!(span.0.is_none());
    }
}
