//! One evaluation: a fresh store, a fresh instance, one or two calls, and nothing kept.
//!
//! Owns the order in which limits are set and the state a component's imports work on. Promises that no evaluation sees another:
//! whatever a component wrote to its memory is gone when this returns. Runs on the thread it is called on and takes at most the
//! binding's wall time, plus a tick.

use std::time::{Duration, Instant};

use wasmtime::{Store, Trap, WasmBacktrace};
use xnovu_domain::{Event, Micros, Verdict};

use crate::bindings::contract;
use crate::capability::log::Log;
use crate::capability::wasi::Wasi;
use crate::engine::{Engine, TICK};
use crate::fault::Fault;
use crate::limits::{HANDLES_MAX, Limits, Meter};
use crate::{BrokenKind, Decided, LogLine, answer, event};

/// A component that is linked and only needs a store.
pub(crate) type Prepared = contract::RulesPre<State>;

/// What a store carries for the component's imports.
pub(crate) struct State {
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    /// Made when the component first asks something of WASI: most never do.
    wasi: Option<Box<Wasi>>,
    /// The event's seed.
    seed: u32,
    /// The event's `now` in milliseconds; what lies before the epoch is the epoch.
    now_ms: u64,
}

/// What an evaluation runs, and under which conditions.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) prepared: &'a Prepared,
    pub(crate) config: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) log_guest: bool,
}

/// How an evaluation ended and what it took.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, Fault>,
    pub(crate) fuel: u64,
    /// Linear memory it had, in bytes.
    pub(crate) memory_bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) log: Vec<LogLine>,
}

impl Conditions<'_> {
    /// Asks `admit`.
    pub(crate) fn admit(self, event: Event) -> Outcome<Verdict> {
        self.about(event, |call, question, now| call.admit(question, now))
    }

    /// Asks `admit` and, where it delivers, `transform`, in one instance.
    pub(crate) fn decide(self, event: Event) -> Outcome<Decided> {
        self.about(event, |call, question, now| {
            let verdict = call.admit(question, now)?;
            let messages = match verdict {
                Verdict::Deliver { .. } => Some(call.transform(question)?),
                Verdict::Defer { .. } | Verdict::Drop { .. } => None,
            };
            Ok(Decided { verdict, messages })
        })
    }

    /// Asks `validate-config`. The inner error is the component's own.
    pub(crate) fn validate_config(self) -> Outcome<Result<(), String>> {
        self.evaluate(Micros::new(0), 0, |call| call.validate_config(self.config))
    }

    fn about<T>(
        self,
        event: Event,
        ask: impl FnOnce(&mut Call<'_>, &Question, Micros) -> Result<T, Failure>,
    ) -> Outcome<T> {
        let (now, seed) = (event.now, event.seed);
        let question = event::to_guest(event, self.config);
        let (bytes, limit) = (event::size(&question), self.limits.input_bytes);
        if bytes > limit {
            let reason =
                format!("the event has {bytes} bytes; at most {limit} are given to rules (limits.input_bytes)");
            let fault = Fault::new(BrokenKind::InputTooLarge { bytes, limit }, reason);
            return Outcome { result: Err(fault), fuel: 0, memory_bytes: 0, duration: Duration::ZERO, log: Vec::new() };
        }
        self.evaluate(now, seed, |call| ask(call, &question, now))
    }

    fn evaluate<T>(self, now: Micros, seed: u32, ask: impl FnOnce(&mut Call<'_>) -> Result<T, Failure>) -> Outcome<T> {
        let started = Instant::now();
        let _running = self.engine.running();
        let mut store = Store::new(self.engine.wasm(), State::new(self.limits, self.log_guest, now, seed));
        let result = self
            .instantiate(&mut store)
            .map_err(Failure::Engine)
            .and_then(|rules| ask(&mut Call { store: &mut store, rules, limits: self.limits }));
        let fuel = self.limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let State { meter, log, .. } = store.into_data();
        let log = log.take();
        let result = result.map_err(|failure| match failure {
            Failure::Answer(fault) => fault,
            Failure::Engine(error) => {
                Fault::of(&error, self.limits, meter.refused(), log.last().map(|line| line.text.as_str()))
            }
        });
        Outcome { result, fuel, memory_bytes: meter.memory_bytes(), duration: started.elapsed(), log }
    }

    fn instantiate(self, store: &mut Store<State>) -> wasmtime::Result<contract::Rules> {
        store.limiter(|state| &mut state.meter);
        store.set_fuel(self.limits.fuel)?;
        // The current tick is under way: one more is needed for the whole of the wall time to be there.
        let ticks = Duration::from_millis(self.limits.wall_ms).as_nanos().div_ceil(TICK.as_nanos());
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1));
        store.set_hostcall_fuel(self.limits.hostcall_bytes());
        store.set_max_component_handles(HANDLES_MAX);
        self.prepared.instantiate(store)
    }
}

/// Why a component does not even start.
pub(crate) enum Rehearsed {
    /// Its exports are of other types than the contract's.
    Unfit(wasmtime::Error),
    /// Its own code ended it.
    Ended(Fault),
}

/// Instantiates a component once and asks nothing: only then does the engine compare the types of its exports with the contract's.
///
/// # Errors
/// They differ, or the component does not even start.
pub(crate) fn rehearse(engine: &Engine, prepared: &Prepared) -> Result<(), Rehearsed> {
    let limits = Limits { wall_ms: 1000, ..Limits::default() };
    let conditions = Conditions { engine, prepared, config: "", limits: &limits, log_guest: false };
    let _running = engine.running();
    let mut store = Store::new(engine.wasm(), State::new(&limits, false, Micros::new(0), 0));
    match conditions.instantiate(&mut store) {
        Ok(_) => Ok(()),
        // Memory is the binding's to grant: the check of its config shows whether that is enough.
        Err(_) if store.data().meter.refused() => Ok(()),
        // Our own load may be the cause, and a component is not to blame for that; its config is checked next.
        Err(error)
            if matches!(
                Fault::of(&error, &limits, false, None).kind,
                BrokenKind::TimedOut | BrokenKind::Overloaded
            ) =>
        {
            Ok(())
        }
        // Only code traps or has a trace.
        Err(error) if error.is::<Trap>() || error.is::<WasmBacktrace>() => {
            Err(Rehearsed::Ended(Fault::of(&error, &limits, false, None)))
        }
        Err(error) => Err(Rehearsed::Unfit(error)),
    }
}

type Question = contract::exports::xnovu::rules::ruleset::Event;

/// Why an evaluation ended early.
enum Failure {
    /// The component answered what it may not, or that it cannot.
    Answer(Fault),
    /// The engine ended it.
    Engine(wasmtime::Error),
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Answer(fault)
    }
}

/// One instance, ready to be asked.
struct Call<'a> {
    store: &'a mut Store<State>,
    rules: contract::Rules,
    limits: &'a Limits,
}

impl Call<'_> {
    fn admit(&mut self, question: &Question, now: Micros) -> Result<Verdict, Failure> {
        let answer = self.rules.xnovu_rules_ruleset().call_admit(&mut *self.store, question)?;
        Ok(answer::verdict(answer.map_err(|error| answer::rule_error(&error))?, now, self.limits)?)
    }

    fn transform(&mut self, question: &Question) -> Result<Vec<xnovu_domain::Message>, Failure> {
        let answer = self.rules.xnovu_rules_ruleset().call_transform(&mut *self.store, question)?;
        Ok(answer::messages(answer.map_err(|error| answer::rule_error(&error))?, self.limits)?)
    }

    fn validate_config(&mut self, config: &str) -> Result<Result<(), String>, Failure> {
        Ok(self.rules.xnovu_rules_ruleset().call_validate_config(&mut *self.store, &config.to_owned())?)
    }
}

impl State {
    fn new(limits: &Limits, log_guest: bool, now: Micros, seed: u32) -> Self {
        Self {
            meter: Meter::new(limits),
            log: Log::new(limits, log_guest),
            wasi: None,
            seed,
            now_ms: u64::try_from(now.millis()).unwrap_or(0),
        }
    }

    /// What WASI's functions work on.
    pub(crate) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(self.seed, self.now_ms, &self.log)))
    }
}
